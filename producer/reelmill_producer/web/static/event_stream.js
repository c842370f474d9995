/** The event stream's format (server-sent events), read with fetch: EventSource cannot resume after an HTTP error. */

/** @typedef {{id: string, event: string, data: string}} Message */

/**
 * Yields the messages of a stream until it ends.
 * @param {ReadableStream<Uint8Array>} stream
 * @returns {AsyncGenerator<Message>}
 */
export async function* messages(stream) {
  const reader = stream.pipeThrough(/** @type {any} */ (new TextDecoderStream())).getReader();
  let rest = "";
  let message = { id: "", event: "message", data: "" };
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line !== "") {
          read(message, line);
          continue;
        }
        if (message.data || message.event !== "message") yield message;
        message = { id: message.id, event: "message", data: "" };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * @param {Message} message
 * @param {string} line
 */
function read(message, line) {
  const colon = line.indexOf(":");
  const field = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
  if (field === "data") message.data += (message.data ? "\n" : "") + value;
  else if (field === "event") message.event = value;
  else if (field === "id") message.id = value;
}
