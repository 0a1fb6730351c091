package provider

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
)

// bedrockEvents reads a stream that comes in the given pieces, and writes each of
// its events on a line.
func bedrockEvents(t testing.TB, pieces ...[]byte) (lines []string, calls map[int]string) {
	t.Helper()
	var frames llm.FrameReader
	reader := (&Bedrock{}).Stream(nil)
	calls = make(map[int]string)
	for _, piece := range pieces {
		err := frames.Read(piece, func(event llm.ServerEvent) error {
			frame, ok := reader.Read(event)
			if !ok {
				lines = append(lines, "unreadable")
				return nil
			}
			if frame.Format != llm.Bedrock || frame.Name != string(event.Name) || string(frame.Data) != string(event.Data) {
				t.Errorf("frame %+v of event %s", frame, event.Name)
			}
			for _, e := range frame.Events {
				lines = append(lines, bedrockLine(&e))
				if e.Kind == llm.EventCallArguments {
					calls[e.Block] += string(e.Text)
				}
			}
			if frame.Done {
				lines = append(lines, "done")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return lines, calls
}

func bedrockLine(e *llm.Event) string {
	switch e.Kind {
	case llm.EventStart:
		return strings.TrimSpace("start " + e.ID + " " + e.Model)
	case llm.EventText:
		return "text " + string(e.Text)
	case llm.EventReasoning:
		return "reasoning " + string(e.Text)
	case llm.EventSignature:
		return "signature " + string(e.Text)
	case llm.EventRedacted:
		return "redacted " + string(e.Text)
	case llm.EventCallStart:
		return fmt.Sprintf("call %d %s %s", e.Block, e.ID, e.Name)
	case llm.EventCallArguments:
		return fmt.Sprintf("arguments %d %s", e.Block, e.Text)
	case llm.EventCallEnd:
		return fmt.Sprintf("call end %d", e.Block)
	case llm.EventFinish:
		return strings.TrimSpace("finish " + string(e.Finish) + " " + e.StopText)
	case llm.EventUsage:
		u := &e.Usage
		return fmt.Sprintf("usage %d+%d+%d %d+%d", u.Fresh.N(), u.CacheRead.N(), u.CacheWrite.N(), u.Answer.N(), u.Reasoning.N())
	case llm.EventError:
		return fmt.Sprintf("error %d %s %s", e.Failure.Status, e.Failure.Type, e.Failure.Message)
	}
	return fmt.Sprintf("kind %d", e.Kind)
}

// bedrockFrames makes a stream of lines: the name of an event and its payload.
// A ! before the name makes it an exception.
func bedrockFrames(lines ...string) (stream []byte) {
	for _, line := range lines {
		name, payload, _ := strings.Cut(line, " ")
		if name, failed := strings.CutPrefix(name, "!"); failed {
			stream = llm.AppendExceptionFrame(stream, name, "application/json", []byte(payload))
			continue
		}
		stream = llm.AppendFrame(stream, name, "application/json", []byte(payload))
	}
	return stream
}

// bedrockChunks wraps the events of a model itself.
func bedrockChunks(events ...string) []byte {
	for i, event := range events {
		events[i] = `chunk {"bytes":"` + base64.StdEncoding.EncodeToString([]byte(event)) + `","p":"abc"}`
	}
	return bedrockFrames(events...)
}

var bedrockStreams = []struct {
	name   string
	stream []byte
	want   []string
}{
	{"text", bedrockFrames(
		`messageStart {"role":"assistant","p":"abc"}`,
		`contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"Gr\u00fc\"n "}}`,
		`contentBlockDelta {"contentBlockIndex":0,"delta":{"text":""}}`,
		`contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"ende"}}`,
		`contentBlockStop {"contentBlockIndex":0}`,
		`messageStop {"stopReason":"max_tokens"}`,
		`metadata {"usage":{"inputTokens":9,"outputTokens":7,"totalTokens":1,"cacheReadInputTokens":4,"cacheWriteInputTokens":5},"metrics":{"latencyMs":26}}`,
	), []string{"start", `text Grü"n `, "text ende", "finish length", "usage 9+4+5 7+0", "done"}},
	{"two calls behind a text, at once", bedrockFrames(
		`messageStart {"role":"assistant"}`,
		`contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"Look"}}`,
		`contentBlockStop {"contentBlockIndex":0}`,
		`contentBlockStart {"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"a","name":"stock"}}}`,
		`contentBlockStart {"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"b","name":"price"}}}`,
		`contentBlockDelta {"contentBlockIndex":2,"delta":{"toolUse":{"input":"{\"n\":1"}}}`,
		`contentBlockDelta {"contentBlockIndex":1,"delta":{"toolUse":{"input":"{\"s\":"}}}`,
		`contentBlockDelta {"contentBlockIndex":2,"delta":{"toolUse":{"input":".10}"}}}`,
		`contentBlockDelta {"contentBlockIndex":1,"delta":{"toolUse":{"input":"\"x\"}"}}}`,
		`contentBlockStop {"contentBlockIndex":2}`,
		`contentBlockStop {"contentBlockIndex":1}`,
		`messageStop {"stopReason":"tool_use"}`,
		`metadata {"usage":{"inputTokens":1,"outputTokens":2}}`,
	), []string{"start", "text Look", "call 0 a stock", "call 1 b price", `arguments 1 {"n":1`, `arguments 0 {"s":`, "arguments 1 .10}", `arguments 0 "x"}`,
		"call end 1", "call end 0", "finish calls", "usage 1+0+0 2+0", "done"}},
	{"thoughts", bedrockFrames(
		`contentBlockDelta {"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"hm"}}}`,
		`contentBlockDelta {"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"sig="}}}`,
		`contentBlockDelta {"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"QUJD"}}}`,
	), []string{"reasoning hm", "signature sig=", "redacted QUJD"}},
	{"answer in a form", bedrockFrames(
		`contentBlockStart {"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"a","name":"`+bedrockAnswerTool+`"}}}`,
		`contentBlockDelta {"contentBlockIndex":0,"delta":{"toolUse":{"input":"{\"a\":"}}}`,
		`contentBlockDelta {"contentBlockIndex":0,"delta":{"toolUse":{"input":"1}"}}}`,
		`contentBlockStop {"contentBlockIndex":0}`,
		`messageStop {"stopReason":"tool_use"}`,
	), []string{`text {"a":`, "text 1}", "finish end"}},
	{"exception", bedrockFrames(
		`messageStart {"role":"assistant"}`,
		`!throttlingException {"message":"Too many tokens"}`,
	), []string{"start", "error 429 throttlingException Too many tokens"}},
	{"model's error", bedrockFrames(`!modelStreamErrorException {"message":"m","originalStatusCode":400}`), []string{"error 424 modelStreamErrorException m"}},
	{"unknown", bedrockFrames(`newEvent {"a":1}`, `messageStop {`, `chunk {"bytes":"!"}`, `contentBlockDelta {"delta":{"toolUse":{"input":"x"}}}`), []string{"unreadable", "unreadable"}},
	{"claude in chunks", bedrockChunks(
		`{"type":"message_start","message":{"id":"msg_1","model":"claude","usage":{"input_tokens":20,"cache_read_input_tokens":100,"output_tokens":1}}}`,
		`{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}}`,
		`{"type":"content_block_stop","index":0}`,
		`{"type":"ping"}`,
		`{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hi"}}`,
		`{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}`,
		`{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{}"}}`,
		`{"type":"content_block_stop","index":2}`,
		`{"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"END"},"usage":{"output_tokens":17}}`,
		`{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":21,"outputTokenCount":18,"cacheReadInputTokenCount":100,"cacheWriteInputTokenCount":0}}`,
	), []string{"start msg_1 claude", "usage 20+100+0 1+0", "reasoning hm", "signature s", "text Hi", "call 0 t f", "arguments 0 {}", "call end 0",
		"finish stop text met END", "usage 20+100+0 17+0", "usage 21+100+0 18+0", "done"}},
	{"other models in chunks", bedrockChunks(
		`{"generation":"a","prompt_token_count":3}`, `{"outputText":"b"}`, `{"type":"error","error":{"type":"overloaded_error","message":"busy"}}`,
		`{"amazon-bedrock-invocationMetrics":{"inputTokenCount":3,"outputTokenCount":4}}`,
	), []string{"text a", "text b", "error 0 overloaded_error busy", "usage 3+0+0 4+0", "done"}},
}

func TestBedrockStreamAnySplit(t *testing.T) {
	for _, tt := range bedrockStreams {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []int{1, 2, 3, 11, 12, 13, 50, 137, len(tt.stream)} {
				got, _ := bedrockEvents(t, slices.Collect(slices.Chunk(tt.stream, size))...)
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Fatalf("pieces of %d (-want +got):\n%s", size, diff)
				}
			}
		})
	}
}

// TestBedrockToOpenAI shows the streams as callers of OpenAI's format get them.
func TestBedrockToOpenAI(t *testing.T) {
	for _, tt := range bedrockStreams {
		t.Run(tt.name, func(t *testing.T) {
			var frames llm.FrameReader
			reader := (&Bedrock{}).Stream(nil)
			writer := client.NewOpenAI(llm.Chat, "").Writer(&llm.Request{Route: llm.Chat, WantsUsage: true}, "m")
			var out []byte
			err := frames.Read(tt.stream, func(event llm.ServerEvent) error {
				if frame, ok := reader.Read(event); ok {
					if out = writer.Append(out, frame); frame.Done {
						out = writer.AppendEnd(out)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			// Ids and times of the gateway's own differ from run to run.
			var list bytes.Buffer
			list.WriteByte('[')
			err = new(llm.EventReader).Read(out, func(event llm.ServerEvent) error {
				if list.Len() > 1 {
					list.WriteByte(',')
				}
				if string(event.Data) == "[DONE]" {
					list.WriteString(`"[DONE]"`)
					return nil
				}
				list.WriteString(`{"event":null`)
				llm.Members(event.Data, func(name string, value []byte) bool {
					if name != "id" && name != "created" {
						fmt.Fprintf(&list, ",%q:%s", name, value)
					}
					return true
				})
				list.WriteByte('}')
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			list.WriteByte(']')
			text := strings.ReplaceAll(list.String(), `"event":null,`, "")
			bedrockGolden(t, "stream "+strings.ReplaceAll(strings.ReplaceAll(tt.name, ",", ""), "'", ""), []byte(text))
		})
	}
}

// TestBedrockCalls puts pieces of calls that come at once in any order together.
func TestBedrockCalls(t *testing.T) {
	const first, second = `{"sku":"lamp","n":12345678901234567890}`, `{"a":[1,2,3]}`
	for order := range 64 {
		lines := []string{
			`contentBlockStart {"contentBlockIndex":4,"start":{"toolUse":{"toolUseId":"a","name":"f"}}}`,
			`contentBlockStart {"contentBlockIndex":7,"start":{"toolUse":{"toolUseId":"b","name":"g"}}}`,
		}
		texts, blocks := [2]string{first, second}, [2]int{4, 7}
		for step := 0; texts[0] != "" || texts[1] != ""; step++ {
			which := order >> (step % 6) & 1
			if texts[which] == "" {
				which = 1 - which
			}
			n := min(len(texts[which]), 1+step%5)
			lines = append(lines, fmt.Sprintf(`contentBlockDelta {"delta":{"toolUse":{"input":%s}},"contentBlockIndex":%d}`, llm.Quote(texts[which][:n]), blocks[which]))
			texts[which] = texts[which][n:]
		}
		_, calls := bedrockEvents(t, bedrockFrames(lines...))
		if diff := cmp.Diff(map[int]string{0: first, 1: second}, calls); diff != "" {
			t.Errorf("order %b (-want +got):\n%s", order, diff)
		}
	}
}

func FuzzBedrockStream(f *testing.F) {
	for _, tt := range bedrockStreams {
		f.Add(tt.stream, "")
	}
	f.Add([]byte(nil), `{"type":"content_block_start","index":1,"content_block":{"type":"tool_use"}}`)
	f.Add([]byte(nil), `{"contentBlockIndex":1,"start":{"toolUse":{}},"delta":{"reasoningContent":{}}}`)
	f.Fuzz(func(t *testing.T, stream []byte, payload string) {
		reader := (&Bedrock{}).Stream(nil)
		read := func(event llm.ServerEvent) error {
			frame, ok := reader.Read(event)
			for i := 0; ok && i < len(frame.Events); i++ {
				if e := &frame.Events[i]; e.Block < 0 || e.Kind == llm.EventError && e.Failure == nil {
					t.Errorf("event %+v", e)
				}
			}
			return nil
		}
		// The fuzzer seldom makes checksums; the payload is read all the same.
		if err := new(llm.FrameReader).Read(stream, read); err != nil {
			t.Log(err)
		}
		for _, name := range []string{"messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"} {
			if err := read(llm.ServerEvent{Name: []byte(name), Data: []byte(payload)}); err != nil {
				t.Error(err)
			}
		}
		if err := new(llm.FrameReader).Read(bedrockChunks(payload), read); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkBedrockStream(b *testing.B) {
	reader := (&Bedrock{}).Stream(nil)
	event := llm.ServerEvent{Name: []byte("contentBlockDelta"), Data: []byte(`{"contentBlockIndex":0,"delta":{"text":"a few words of an answer"},"p":"abcdefghijklmnop"}`)}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := reader.Read(event); !ok {
			b.Fatal("unreadable")
		}
	}
}
