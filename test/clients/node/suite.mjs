// Uses OpenAI's client on each route of a gateway and prints what it saw.
//
// The argument is a JSON object with the gateway's address (proxy), the routes
// with their cases, and the question. Each case prints one JSON line; who
// reads them judges. See ../README.md.

import OpenAI from 'openai';

const told = JSON.parse(process.argv[2]);
const { question } = told;

const weather = {
  name: 'weather',
  description: 'The weather of some days.',
  parameters: {
    type: 'object',
    properties: {
      city: { type: 'string' },
      days: { type: 'integer', minimum: 3 },
      unit: { type: 'string', enum: ['celsius', 'kelvin'] },
    },
    required: ['city', 'days', 'unit'],
    additionalProperties: false,
  },
  strict: true,
};
const messages = [
  { role: 'system', content: 'Sei knapp.' },
  { role: 'user', content: question },
];

const counts = (usage) =>
  usage && {
    prompt: usage.prompt_tokens ?? usage.input_tokens,
    completion: usage.completion_tokens ?? usage.output_tokens,
    total: usage.total_tokens,
  };

// turn is what a completion says, whole or put together by the client.
const turn = (completion, pieces = 1) => {
  const [choice] = completion.choices;
  return {
    id: completion.id,
    model: completion.model,
    text: choice.message.content ?? '',
    finish: choice.finish_reason,
    pieces,
    usage: counts(completion.usage),
    calls: (choice.message.tool_calls ?? []).map((c) => ({ id: c.id, name: c.function.name, arguments: c.function.arguments })),
  };
};

class Route {
  constructor(work) {
    const base = `${told.proxy}/${work.route}`;
    const options = { apiKey: "the client's own", maxRetries: 0, timeout: 60_000 };
    this.embedder = work.embedder;
    this.model = work.model;
    this.result = work.result;
    this.whole = new OpenAI({ ...options, baseURL: `${base}/v1` });
    this.streams = new OpenAI({ ...options, baseURL: `${base}/stream/v1` });
  }

  async chat() {
    return turn(await this.whole.chat.completions.create({ model: this.model, messages }));
  }

  // stream reads the chunks as they come, without the client's help.
  async stream() {
    const seen = { text: '', pieces: 0, calls: [] };
    const chunks = await this.streams.chat.completions.create({
      model: this.model,
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    for await (const chunk of chunks) {
      if (seen.finish && chunk.choices.length) throw new Error('a choice behind its end');
      if (seen.id && seen.id !== chunk.id) throw new Error('the id changes');
      seen.id = chunk.id;
      seen.model = chunk.model;
      seen.usage = counts(chunk.usage) ?? seen.usage;
      for (const choice of chunk.choices) {
        if (choice.delta.content) {
          seen.text += choice.delta.content;
          seen.pieces += 1;
        }
        seen.finish = choice.finish_reason ?? seen.finish;
      }
    }
    return seen;
  }

  async ask(streamed, asked, more) {
    const body = { model: this.model, messages: asked, tools: [{ type: 'function', function: weather }], ...more };
    if (!streamed) {
      const completion = await this.whole.chat.completions.create(body);
      return [completion, turn(completion)];
    }
    let pieces = 0;
    const stream = this.streams.chat.completions.stream({ ...body, stream_options: { include_usage: true } });
    for await (const chunk of stream) {
      pieces += chunk.choices.some((c) => c.delta.content || c.delta.tool_calls) ? 1 : 0;
    }
    const completion = await stream.finalChatCompletion();
    return [completion, turn(completion, pieces)];
  }

  async tools(streamed = false) {
    const [first, seen] = await this.ask(streamed, messages, { tool_choice: 'required' });
    const { message } = first.choices[0];
    const results = message.tool_calls.map((c) => ({ role: 'tool', tool_call_id: c.id, content: this.result }));
    [, seen.then] = await this.ask(streamed, [...messages, message, ...results]);
    return seen;
  }

  stream_tools() {
    return this.tools(true);
  }

  async error(streamed = false) {
    const client = streamed ? this.streams : this.whole;
    try {
      await client.chat.completions.create(
        { model: this.model, messages, stream: streamed },
        { headers: { 'X-Echo-Status': '429' } },
      );
    } catch (error) {
      if (!(error instanceof OpenAI.APIError)) throw error;
      return { error: error.constructor.name, status: error.status, wait: error.headers?.get('retry-after') ?? '' };
    }
    return {};
  }

  stream_error() {
    return this.error(true);
  }

  // embed leaves the encoding to the client, which asks for base64 and decodes it.
  async embed() {
    const answer = await this.whole.embeddings.create({ model: this.embedder, input: [question, this.result] });
    const vectors = answer.data.sort((a, b) => a.index - b.index).map((d) => d.embedding);
    return { lengths: vectors.map((v) => v.length), norms: vectors.map((v) => Math.hypot(...v)) };
  }

  async answer(streamed, input, more) {
    const body = { model: this.model, input, instructions: 'Sei knapp.', ...more };
    let pieces = 1;
    let response;
    if (streamed) {
      pieces = 0;
      const stream = this.whole.responses.stream(body);
      for await (const event of stream) {
        pieces += /^response\.(output_text|function_call_arguments)\.delta$/.test(event.type) ? 1 : 0;
      }
      response = await stream.finalResponse();
    } else {
      response = await this.whole.responses.create(body);
    }
    return [
      response,
      {
        id: response.id,
        model: response.model,
        text: response.output_text,
        finish: response.status,
        pieces,
        usage: counts(response.usage),
        calls: response.output
          .filter((o) => o.type === 'function_call')
          .map((c) => ({ id: c.call_id, name: c.name, arguments: c.arguments })),
      },
    ];
  }

  async responses(streamed = false) {
    return (await this.answer(streamed, question))[1];
  }

  stream_responses() {
    return this.responses(true);
  }

  async tools_responses(streamed = false) {
    const tools = [{ type: 'function', ...weather }];
    const input = [{ role: 'user', content: question }];
    const [first, seen] = await this.answer(streamed, input, { tools, tool_choice: 'required' });
    const results = first.output.map((c) => ({ type: 'function_call_output', call_id: c.call_id, output: this.result }));
    [, seen.then] = await this.answer(streamed, [...input, ...first.output, ...results], { tools });
    return seen;
  }

  stream_tools_responses() {
    return this.tools_responses(true);
  }

  async models() {
    const names = [];
    for await (const model of this.whole.models.list()) names.push(model.id);
    return { names };
  }
}

for (const work of told.routes) {
  const route = new Route(work);
  for (const name of work.cases) {
    let seen;
    try {
      seen = await route[name]();
    } catch (problem) {
      seen = { problem: `${problem.constructor.name}: ${problem.message}` }; // is told like all else that was seen
    }
    console.log(JSON.stringify({ route: work.route, case: name, ...seen }));
  }
}
