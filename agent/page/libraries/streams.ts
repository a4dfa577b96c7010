/**
 * Amazon Connect Streams. It is no module: it sets the global `connect`.
 * https://github.com/amazon-connect/amazon-connect-streams
 */
import 'amazon-connect-streams';

/** Whether the library is there. */
export const isLoaded = typeof connect === 'object';
