// One connection to the instance for all pages of this browser, which has only six for one origin.
const pages = [];
let latest;
const source = new EventSource('/stand-in/events');
source.onmessage = ({ data }) => {
  latest = JSON.parse(data);
  for (const page of pages) page.postMessage(latest);
};
onconnect = ({ ports: [page] }) => {
  pages.push(page);
  page.start();
  if (latest) page.postMessage(latest);
};
