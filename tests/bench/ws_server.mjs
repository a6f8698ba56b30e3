// A minimal upload server on the `ws` package, for sockets.py to compare with: it writes the payload
// of each binary message to a file, reads no further while the disk is behind, and says so at the end.
import { createRequire } from "node:module";
import fs from "node:fs";

const { WebSocketServer } = createRequire(import.meta.url)("ws");
const server = new WebSocketServer({ port: 0, maxPayload: 1 << 26, perMessageDeflate: false });

server.on("connection", (socket) => {
  const file = fs.createWriteStream(process.argv[2], { highWaterMark: 1 << 20 });
  socket.on("message", (data, binary) => {
    if (!binary) {
      file.end(() => socket.send("done"));
      return;
    }
    const header = data.readUInt32BE(0);
    if (!file.write(data.subarray(4 + header))) {
      socket.pause();
      file.once("drain", () => socket.resume());
    }
  });
});
server.on("listening", () => console.log(server.address().port));
