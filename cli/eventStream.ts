/** Reads server-sent events out of a stream of bytes, wherever the chunks happen to be cut. */

export interface ServerEvent {
  /** The last id seen on the stream, this event's own or an earlier one's; empty when there was none. */
  readonly id: string;
  readonly event: string;
  readonly data: string;
}

/** Yields the events of a stream. An event that is cut off by the end of the stream is dropped, as the standard says. */
export async function* readEvents(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvent> {
  let id = '';
  let event = '';
  let data: string[] = [];
  for await (const line of readLines(chunks)) {
    if (line === '') {
      if (data.length > 0) yield { id, event: event || 'message', data: data.join('\n') };
      event = '';
      data = [];
      continue;
    }
    const colon = line.indexOf(':');
    if (colon === 0) continue;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'data') data.push(value);
    else if (field === 'event') event = value;
    else if (field === 'id' && !value.includes('\0')) id = value;
  }
}

/** Lines end with LF, CRLF or CR; the two halves of a CRLF may come in different chunks. */
async function* readLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  // Takes care of characters that are cut in two and of a byte order mark.
  const decoder = new TextDecoder();
  let rest = '';
  let endedWithReturn = false;
  for await (const chunk of chunks) {
    let text = decoder.decode(chunk, { stream: true });
    if (text === '') continue;
    if (endedWithReturn && text.startsWith('\n')) text = text.slice(1);
    endedWithReturn = text === '' ? false : text.endsWith('\r');
    const lines = (rest + text).split(/\r\n|\n|\r/);
    rest = lines.pop() ?? '';
    yield* lines;
  }
}
