"""Uses OpenAI's client on each route of a gateway and prints what it saw.

The argument is a JSON object with the gateway's address (proxy), the routes with
their cases, and the question. Each case prints one JSON line; who reads them
judges. See ../README.md.
"""

import json
import math
import sys

import openai

told = json.loads(sys.argv[1])
question = told["question"]

parameters = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "minimum": 3},
        "unit": {"type": "string", "enum": ["celsius", "kelvin"]},
    },
    "required": ["city", "days", "unit"],
    "additionalProperties": False,
}
weather = {"name": "weather", "description": "The weather of some days.", "parameters": parameters, "strict": True}
messages = [
    {"role": "system", "content": "Sei knapp."},
    {"role": "user", "content": question},
]


def counts(usage):
    if usage is None:
        return None
    if hasattr(usage, "input_tokens"):
        return {"prompt": usage.input_tokens, "completion": usage.output_tokens, "total": usage.total_tokens}
    return {"prompt": usage.prompt_tokens, "completion": usage.completion_tokens, "total": usage.total_tokens}


def turn(completion, pieces=1):
    """What a completion says, whole or put together by the client."""
    choice = completion.choices[0]
    calls = choice.message.tool_calls or []
    return {
        "id": completion.id,
        "model": completion.model,
        "text": choice.message.content or "",
        "finish": choice.finish_reason,
        "pieces": pieces,
        "usage": counts(completion.usage),
        "calls": [{"id": c.id, "name": c.function.name, "arguments": c.function.arguments} for c in calls],
    }


class Route:
    def __init__(self, work):
        self.work = work
        base = told["proxy"] + "/" + work["route"]
        self.whole = openai.OpenAI(base_url=base + "/v1", api_key="the client's own", max_retries=0, timeout=60)
        self.streams = self.whole.with_options(base_url=base + "/stream/v1")
        self.model, self.result = work["model"], work["result"]

    def chat(self):
        return turn(self.whole.chat.completions.create(model=self.model, messages=messages))

    def stream(self):
        """Reads the chunks as they come, without the client's help."""
        seen = {"text": "", "pieces": 0, "usage": None, "calls": []}
        with self.streams.chat.completions.create(
            model=self.model, messages=messages, stream=True, stream_options={"include_usage": True}
        ) as chunks:
            for chunk in chunks:
                assert "finish" not in seen or not chunk.choices, "a choice behind its end"
                assert seen.get("id", chunk.id) == chunk.id, "the id changes"
                seen["id"], seen["model"] = chunk.id, chunk.model
                seen["usage"] = counts(chunk.usage) or seen["usage"]
                for choice in chunk.choices:
                    if choice.delta.content:
                        seen["text"] += choice.delta.content
                        seen["pieces"] += 1
                    if choice.finish_reason:
                        seen["finish"] = choice.finish_reason
        return seen

    def ask(self, streamed, asked, **more):
        more.update(model=self.model, messages=asked, tools=[{"type": "function", "function": weather}])
        if not streamed:
            completion = self.whole.chat.completions.create(**more)
            return completion, turn(completion)
        pieces = 0
        with self.streams.chat.completions.stream(stream_options={"include_usage": True}, **more) as events:
            for event in events:
                pieces += event.type in ("content.delta", "tool_calls.function.arguments.delta")
            completion = events.get_final_completion()
        return completion, turn(completion, pieces)

    def tools(self, streamed=False):
        first, seen = self.ask(streamed, messages, tool_choice="required")
        said = first.choices[0].message
        asked = messages + [
            {
                "role": "assistant",
                "content": said.content,
                "tool_calls": [
                    {"id": c.id, "type": "function", "function": {"name": c.function.name, "arguments": c.function.arguments}}
                    for c in said.tool_calls
                ],
            }
        ]
        asked += [{"role": "tool", "tool_call_id": c.id, "content": self.result} for c in said.tool_calls]
        _, seen["then"] = self.ask(streamed, asked)
        return seen

    def stream_tools(self):
        return self.tools(streamed=True)

    def error(self, streamed=False):
        client = self.streams if streamed else self.whole
        try:
            client.chat.completions.create(
                model=self.model, messages=messages, stream=streamed, extra_headers={"X-Echo-Status": "429"}
            )
        except openai.APIStatusError as error:
            return {
                "error": type(error).__name__,
                "status": error.status_code,
                "wait": error.response.headers.get("retry-after", ""),
            }
        return {}

    def stream_error(self):
        return self.error(streamed=True)

    def embed(self):
        answer = self.whole.embeddings.create(model=self.work["embedder"], input=[question, self.result])
        vectors = [d.embedding for d in sorted(answer.data, key=lambda d: d.index)]
        return {"lengths": [len(v) for v in vectors], "norms": [math.hypot(*v) for v in vectors]}

    def answer(self, streamed, items, **more):
        more.update(model=self.model, input=items, instructions="Sei knapp.")
        pieces = 1
        if streamed:
            pieces = 0
            with self.whole.responses.stream(**more) as events:
                for event in events:
                    pieces += event.type in ("response.output_text.delta", "response.function_call_arguments.delta")
                response = events.get_final_response()
        else:
            response = self.whole.responses.create(**more)
        calls = [o for o in response.output if o.type == "function_call"]
        return response, {
            "id": response.id,
            "model": response.model,
            "text": response.output_text,
            "finish": response.status,
            "pieces": pieces,
            "usage": counts(response.usage),
            "calls": [{"id": c.call_id, "name": c.name, "arguments": c.arguments} for c in calls],
        }

    def responses(self, streamed=False):
        return self.answer(streamed, question)[1]

    def stream_responses(self):
        return self.responses(streamed=True)

    def tools_responses(self, streamed=False):
        tools = [{"type": "function", **weather}]
        items = [{"role": "user", "content": question}]
        first, seen = self.answer(streamed, items, tools=tools, tool_choice="required")
        for c in first.output:
            items.append({"type": "function_call", "call_id": c.call_id, "name": c.name, "arguments": c.arguments})
            items.append({"type": "function_call_output", "call_id": c.call_id, "output": self.result})
        _, seen["then"] = self.answer(streamed, items, tools=tools)
        return seen

    def stream_tools_responses(self):
        return self.tools_responses(streamed=True)

    def models(self):
        return {"names": [m.id for m in self.whole.models.list()]}


for work in told["routes"]:
    route = Route(work)
    for case in work["cases"]:
        try:
            seen = getattr(route, case)()
        except Exception as problem:  # is told like all else that was seen
            seen = {"problem": f"{type(problem).__name__}: {problem}"}
        print(json.dumps({"route": work["route"], "case": case, **seen}), flush=True)
    route.whole.close()
