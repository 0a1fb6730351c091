package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
)

var nativeUpdate = flag.Bool("update-native", false, "write the goldens of the vendors with small formats")

// nativeSetup is the first section of a golden file: what is configured.
type nativeSetup struct {
	Provider    string          `json:"provider"`
	Route       llm.Route       `json:"route"`
	Model       string          `json:"model"`
	Options     json.RawMessage `json:"options"`
	MaxTokens   string          `json:"max_tokens"`
	Temperature string          `json:"temperature"`
	TopP        string          `json:"top_p"`
	TopK        string          `json:"top_k"`
	Key         string          `json:"key"`     // a credential for the member "key"
	Caller      llm.Format      `json:"caller"`  // OpenAI's unless it says otherwise
	Path        string          `json:"path"`    // the caller's, for its own format
	Framing     string          `json:"framing"` // of the streams: sse, or values
}

func (s *nativeSetup) start(t *testing.T) (Provider, *Call) {
	t.Helper()
	options := &pluginpb.AiModelOptions{}
	if s.Options != nil {
		if err := protojson.Unmarshal(s.Options, options); err != nil {
			t.Fatal(err)
		}
	}
	p, ok := Find(s.Provider, options)
	if !ok {
		t.Fatalf("%s was not found", s.Provider)
	}
	settings := &Settings{Route: s.Route, MaxTokens: s.MaxTokens, Temperature: s.Temperature, TopP: s.TopP, TopK: s.TopK}
	if s.Key != "" {
		settings.ParamName, settings.ParamValue = "key", llm.Quote(s.Key)
	}
	if s.Caller == "" {
		s.Caller = llm.OpenAI
	}
	return p, &Call{Settings: settings, Options: options, Format: s.Caller, Model: s.Model}
}

// reader gives the reader of the caller's calls.
func (s *nativeSetup) reader(t *testing.T) client.Format {
	t.Helper()
	param := ""
	if s.Key != "" {
		param = "key"
	}
	format, ok := client.For(s.Caller, s.Route, param, llm.Limits{})
	if !ok {
		t.Fatalf("nobody reads %s", s.Caller)
	}
	return format
}

type nativeSection struct{ name, text string }

func nativeSections(text string) (all []nativeSection) {
	for part := range strings.SplitSeq("\n"+text, "\n== ") {
		name, body, ok := strings.Cut(part, "\n")
		if !ok {
			continue
		}
		all = append(all, nativeSection{name: strings.TrimSpace(name), text: body})
	}
	return all
}

// TestNativeGoldens runs the cases in testdata: each file has what is configured,
// bodies of callers ("caller"), answers ("answer") and streams ("stream") of the
// vendor, and behind each of them what becomes of it.
func TestNativeGoldens(t *testing.T) {
	files, err := filepath.Glob("testdata/native/*/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.ToSlash(file), "testdata/native/"), ".txt")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := nativeRun(t, string(text))
			if *nativeUpdate {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(text), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func nativeRun(t *testing.T, text string) string {
	var setup nativeSetup
	var out strings.Builder
	var request llm.Request
	for _, section := range nativeSections(text) {
		switch section.name {
		case "configured", "caller", "answer", "stream":
		default:
			continue // a result, which is made again
		}
		fmt.Fprintf(&out, "== %s\n%s\n", section.name, strings.TrimRight(section.text, "\n"))
		if section.name == "configured" {
			d := json.NewDecoder(strings.NewReader(section.text))
			d.DisallowUnknownFields()
			if err := d.Decode(&setup); err != nil {
				t.Fatal(err)
			}
			continue
		}
		p, call := setup.start(t)
		switch section.name {
		case "caller":
			if err := setup.reader(t).Read(client.Incoming{Path: setup.Path, Body: []byte(strings.TrimSpace(section.text))}, &request); err != nil {
				t.Fatal(err)
			}
			call.Streams, call.Operation = request.Streams, request.Operation
			if call.Model == "" {
				call.Model = request.Model
			}
			header := http.Header{}
			p.Headers(call, header)
			at, err := p.Endpoint(call)
			if err != nil {
				fmt.Fprintf(&out, "== endpoint\nerror: %v\n", err)
			} else {
				fmt.Fprintf(&out, "== endpoint\n%s://%s:%d%s\n", at.Scheme, at.Host, at.Port, at.Path)
			}
			if len(header) > 0 {
				fmt.Fprintf(&out, "%v\n", header)
			}
			body, err := p.Request(call, &request)
			if err != nil {
				if _, ok := errors.AsType[*CallError](err); !ok {
					t.Errorf("%v is no CallError", err)
				}
				fmt.Fprintf(&out, "== upstream\nerror: %v\n", err)
				continue
			}
			if !json.Valid(body) {
				t.Errorf("%s is no JSON", body)
			}
			fmt.Fprintf(&out, "== upstream\n%s\n", body)
		case "answer":
			answer, err := p.Response(call, []byte(strings.TrimSpace(section.text)))
			if err != nil {
				if _, ok := errors.AsType[*AnswerError](err); !ok {
					t.Errorf("%v is no AnswerError", err)
				}
				fmt.Fprintf(&out, "== answered\nerror: %v\n", err)
				continue
			}
			fmt.Fprintf(&out, "== answered\n%s", nativeSayAnswer(&answer))
		case "stream":
			call.Streams = true
			raw := strings.TrimLeft(section.text, "\n")
			want := nativeEvents(t, p, call, setup.Framing, raw)
			fmt.Fprintf(&out, "== streamed\n%s", want)
			// Any split of the bytes gives the same events.
			for i := range len(raw) {
				if got := nativeEvents(t, p, call, setup.Framing, raw[:i], raw[i:]); got != want {
					t.Fatalf("cut at byte %d:\n%s\nwant\n%s", i, got, want)
				}
			}
			if got := nativeEvents(t, p, call, setup.Framing, strings.Split(raw, "")...); got != want {
				t.Fatalf("byte by byte:\n%s\nwant\n%s", got, want)
			}
		}
	}
	return out.String()
}

var madeUpID = regexp.MustCompile(`call_[A-Z2-7]{26}`)

func nativeSayAnswer(a *Answer) string {
	var out strings.Builder
	if a.Chat == nil && a.Embedding == nil {
		fmt.Fprintf(&out, "passes: %s\n", a.Body)
	}
	if c := a.Chat; c != nil {
		fmt.Fprintf(&out, "chat id=%q model=%q created=%d origin=%s\n", c.ID, c.Model, c.Created, c.Origin)
		for _, choice := range c.Choices {
			m := &choice.Message
			fmt.Fprintf(&out, "choice role=%s plain=%v finish=%q stop=%q logprobs=%s\n", m.Role, m.Plain, choice.Finish, choice.StopText, choice.Logprobs)
			for _, part := range m.Parts {
				fmt.Fprintf(&out, "  part %d %q\n", part.Kind, part.Text)
			}
			for _, call := range m.Calls {
				fmt.Fprintf(&out, "  call %s %s %s\n", call.ID, call.Name, call.Arguments)
			}
		}
		for _, m := range c.Extra {
			fmt.Fprintf(&out, "extra %s=%s\n", m.Name, m.Value)
		}
	}
	if e := a.Embedding; e != nil {
		fmt.Fprintf(&out, "embedding model=%q\n", e.Model)
		for _, v := range e.Vectors {
			fmt.Fprintf(&out, "  %s\n", v)
		}
	}
	fmt.Fprintf(&out, "model=%q text=%d %s\n", a.Model, a.TextLength, nativeSayUsage(&a.Usage))
	return madeUpID.ReplaceAllString(out.String(), "call_MADEUP")
}

func nativeSayUsage(u *llm.Usage) string {
	return fmt.Sprintf("input=%s output=%s %s", u.Input, u.Output, llm.AppendOpenAIUsage(nil, u))
}

// nativeEvents reads a stream that comes in pieces and says what it means, one
// event a line.
func nativeEvents(t testing.TB, p Provider, call *Call, framing string, pieces ...string) string {
	t.Helper()
	var out strings.Builder
	reader := p.Stream(call)
	finished := map[int]bool{}
	read := func(event llm.ServerEvent) error {
		frame, ok := reader.Read(event)
		if !ok {
			fmt.Fprintf(&out, "unread %s\n", event.Data)
			return nil
		}
		if frame.Format != llm.OpenAI && !bytes.Equal(frame.Data, event.Data) {
			t.Errorf("the frame holds %s, want %s", frame.Data, event.Data)
		}
		for _, e := range frame.Events {
			switch e.Kind {
			case llm.EventText, llm.EventReasoning, llm.EventCallStart, llm.EventCallArguments:
				if finished[e.Choice] {
					t.Errorf("%s comes after the finish", event.Data)
				}
			case llm.EventFinish:
				if finished[e.Choice] {
					t.Errorf("%s finishes again", event.Data)
				}
				finished[e.Choice] = true
			}
			out.WriteString(nativeSayEvent(&e))
		}
		if frame.Done {
			out.WriteString("end mark\n")
		}
		return nil
	}
	var err error
	if framing == "sse" {
		var events llm.EventReader
		for _, piece := range pieces {
			if err == nil {
				err = events.Read([]byte(piece), read)
			}
		}
		if err == nil {
			err = events.Close(read)
		}
	} else {
		var values llm.ValueReader
		for _, piece := range pieces {
			if err == nil {
				err = values.Read([]byte(piece), func(value []byte) error { return read(llm.ServerEvent{Data: value}) })
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return madeUpID.ReplaceAllString(out.String(), "call_MADEUP")
}

func nativeSayEvent(e *llm.Event) string {
	at := fmt.Sprintf("%d.%d", e.Choice, e.Block)
	switch e.Kind {
	case llm.EventStart:
		return fmt.Sprintf("start id=%q model=%q created=%d\n", e.ID, e.Model, e.Created)
	case llm.EventText:
		return fmt.Sprintf("%d text %q\n", e.Choice, e.Text)
	case llm.EventReasoning:
		return fmt.Sprintf("%d reasoning %q\n", e.Choice, e.Text)
	case llm.EventCallStart:
		return fmt.Sprintf("%s call %s %s\n", at, e.ID, e.Name)
	case llm.EventCallArguments:
		return fmt.Sprintf("%s arguments %s\n", at, e.Text)
	case llm.EventCallEnd:
		return fmt.Sprintf("%s call ends\n", at)
	case llm.EventFinish:
		return fmt.Sprintf("%d finish %q %q\n", e.Choice, e.Finish, e.StopText)
	case llm.EventUsage:
		return fmt.Sprintf("usage %s\n", nativeSayUsage(&e.Usage))
	case llm.EventError:
		return fmt.Sprintf("error %+v\n", *e.Failure)
	}
	return fmt.Sprintf("event %d\n", e.Kind)
}
