// An upstream that writes down each request it understands, one line each, and reads no body: node main.js PORT LOG
const fs = require("node:fs");
const http = require("node:http");

const [port, log] = process.argv.slice(2);
const answer = (request, response) => {
  fs.appendFileSync(log, `${request.method} ${request.url}\n`);
  response.end("ok");
};
const upstream = http.createServer(answer);
// Expectations and upgrades are requests like any other.
upstream.on("checkContinue", answer);
upstream.on("checkExpectation", answer);
upstream.listen(Number(port), "127.0.0.1");
