/**
 * What an application in the Amazon Connect agent workspace uses. The packages must be of one version: of two, each
 * would bring a core of its own.
 * https://docs.aws.amazon.com/agentworkspace/latest/devguide/
 */
export { AmazonConnectApp } from '@amazon-connect/app';
export { ContactClient } from '@amazon-connect/contact';
export { VoiceClient } from '@amazon-connect/voice';
