// The questions to the server, which waits for its turn in Gradio's queue.

const API = "api/gradio_api/call/";
const REFUSALS = {
  413: "This is too large. Send a smaller molecule.",
  429: "Too many requests at the moment. Try again in a few seconds.",
  503: "Too many people are searching at the moment. Try again in a few seconds.",
};

/** Ask a question and return the last answer; throws an Error with a message for the user. */
export async function ask(name, ...given) {
  let last;
  for await (const answer of stream(name, ...given)) last = answer;
  return last;
}

/** Ask a question and yield the answers as they grow. */
export async function* stream(name, ...given) {
  const question = await request(API + name, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ data: [given] }),
  });
  const { event_id: event } = await question.json();
  const reader = (await request(`${API}${name}/${event}`)).body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const messages = (waiting + value).split("\n\n");
    waiting = messages.pop();
    for (const message of messages) {
      const [, kind, data] = message.match(/^event: (\w+)\ndata: (.*)$/s) || [];
      if (kind === "error") throw new Error("The server could not answer. Try again.");
      if (kind !== "generating" && kind !== "complete") continue;
      const [answer] = JSON.parse(data) || [];
      if (answer?.error) throw new Error(answer.error);
      if (answer && "result" in answer) yield answer.result;
    }
  }
}

async function request(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch {
    throw new Error("The server cannot be reached. Is it still running?");
  }
  if (!response.ok) throw new Error(REFUSALS[response.status] || "The server could not answer. Try again.");
  return response;
}
