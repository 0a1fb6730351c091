//go:build unix

package clients_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
)

// The words of the suite, the same for all clients.
const (
	asked = "Wie wird das Wetter in Zürich? 天气 🌦"
	// result is what the tool answers. It is long enough to be seen in the token
	// count of the turn that carries it.
	result = "snow at first, then rain, then sun, then wind, then fog, then hail, then sleet, then drizzle, then thunder, then stars"
)

// The names of errors.
const (
	rateLimit = "RateLimitError"
	// noObject is what OpenAI's client for Go has for an error that is a text.
	noObject = "UnmarshalTypeError"
)

// work is what a client is to do at one backend.
type work struct {
	Route string   `json:"route"`
	Model string   `json:"model"`
	Embed string   `json:"embedder"`
	Cases []string `json:"cases"`
	// Result is what the tool answers.
	Result string `json:"result"`
}

// works lists what OpenAI's clients are to do.
func works() []work {
	var all []work
	for i := range backends {
		b := &backends[i]
		w := work{Route: b.name, Model: b.model, Embed: cmp.Or(b.embedder, b.model), Result: result,
			Cases: []string{"chat", "stream", "error", "stream_error"}}
		if b.strict {
			w.Result = `{"weather":"` + result + `"}`
		}
		if !b.toolless {
			w.Cases = append(w.Cases, "tools", "stream_tools")
		}
		if b.embed != "" {
			w.Cases = append(w.Cases, "embed")
		}
		if b.answers != "" {
			w.Cases = append(w.Cases, "responses", "stream_responses", "tools_responses", "stream_tools_responses")
		}
		if b.models != "" {
			w.Cases = append(w.Cases, "models")
		}
		all = append(all, w)
	}
	return all
}

// seen is what a client made of one case, as it tells it.
type seen struct {
	Route string `json:"route"`
	Case  string `json:"case"`
	// Problem is what the client complained about, where no complaint was due.
	Problem string `json:"problem"`
	turn
	// Then is the turn after the tool's result.
	Then *turn `json:"then"`
	// Error is the class of the client's error, and Status and Wait what it says
	// of the answer.
	Error   string    `json:"error"`
	Status  int       `json:"status"`
	Wait    string    `json:"wait"`
	Lengths []int     `json:"lengths"` // of the vectors, in order
	Norms   []float64 `json:"norms"`   // of the vectors
	Names   []string  `json:"names"`   // of the models
}

// turn is one answer.
type turn struct {
	ID     string     `json:"id"`
	Model  string     `json:"model"`
	Text   string     `json:"text"`
	Finish string     `json:"finish"`
	Pieces int        `json:"pieces"` // how many events brought something of the answer
	Usage  *usage     `json:"usage"`
	Calls  []toolCall `json:"calls"`
}

type toolCall struct{ ID, Name, Arguments string }

type usage struct{ Prompt, Completion, Total int }

// wrong says what about a turn cannot be: who answered, and the counts.
func (s *turn) wrong(streamed, counted bool) error {
	switch {
	case s.ID == "" || s.Model == "":
		return fmt.Errorf("the id is %q and the model %q", s.ID, s.Model)
	case counted && s.Usage == nil:
		return fmt.Errorf("there are no token counts")
	case s.Usage != nil && (s.Usage.Prompt <= 0 || s.Usage.Completion <= 0 || s.Usage.Total != s.Usage.Prompt+s.Usage.Completion):
		return fmt.Errorf("the token counts are %+v", *s.Usage)
	case streamed && s.Pieces < 3:
		return fmt.Errorf("the stream came in %d pieces", s.Pieces)
	}
	return nil
}

// judge says what is wrong with what a client saw.
func (b *backend) judge(s *seen) error {
	if s.Problem != "" {
		return fmt.Errorf("the client says: %s", s.Problem)
	}
	streamed := strings.HasPrefix(s.Case, "stream_") || s.Case == "stream"
	answers := strings.HasSuffix(s.Case, "responses")
	pieces := streamed && !b.whole
	counted := streamed && !b.uncount || !streamed && !b.untold
	switch s.Case {
	case "chat", "stream", "responses", "stream_responses":
		finish := "stop"
		if answers {
			finish = "completed"
		}
		if s.Text != "Echo: "+asked && (!b.prompted || !strings.HasPrefix(s.Text, "Echo: ") || !strings.Contains(s.Text, asked)) {
			return fmt.Errorf("the text is %q", s.Text)
		}
		if s.Finish != finish || len(s.Calls) != 0 {
			return fmt.Errorf("it ended with %q and the calls %v", s.Finish, s.Calls)
		}
		return s.wrong(pieces, counted)
	case "tools", "stream_tools", "tools_responses", "stream_tools_responses":
		finish := "tool_calls"
		if answers {
			finish = "completed"
		}
		says := b.says
		if streamed {
			says = ""
		}
		if s.Finish != finish || len(s.Calls) != 1 || s.Calls[0].ID == "" || s.Calls[0].Name != "weather" || s.Text != says {
			return fmt.Errorf("the answer ended with %q, the text %q and the calls %q", s.Finish, s.Text, s.Calls)
		}
		if err := rightArguments(s.Calls[0].Arguments); err != nil {
			return err
		}
		// Some providers make a call in one piece.
		if err := s.wrong(false, counted); err != nil {
			return err
		}
		if s.Then == nil {
			return fmt.Errorf("there is no second turn")
		}
		if err := s.Then.wrong(pieces, counted); err != nil {
			return fmt.Errorf("second turn: %w", err)
		}
		// Where a tool's results are what a user says, they are what is repeated.
		said := strings.TrimPrefix(s.Then.Text, "Echo: ")
		if said == s.Then.Text || said != asked && !strings.Contains(said, result) || s.Then.Finish != "stop" && !answers || len(s.Then.Calls) != 0 {
			return fmt.Errorf("the second turn is %+v", *s.Then)
		}
		if counted && s.Then.Usage.Prompt < s.Usage.Prompt+len(strings.Fields(result)) {
			return fmt.Errorf("the second turn has %d prompt tokens after %d, which leaves no room for the tool's result",
				s.Then.Usage.Prompt, s.Usage.Prompt)
		}
	case "error", "stream_error":
		if s.Error != rateLimit && !(b.bare && s.Error == noObject) || s.Status != 429 || s.Wait != "1" {
			return fmt.Errorf("the error is %s with status %d and Retry-After %q", s.Error, s.Status, s.Wait)
		}
	case "embed":
		if len(s.Lengths) != 2 || s.Lengths[0] != s.Lengths[1] || s.Lengths[0] < 64 {
			return fmt.Errorf("the vectors have the lengths %v", s.Lengths)
		}
		for _, norm := range s.Norms {
			if math.Abs(norm-1) > 1e-3 || len(s.Norms) != 2 {
				return fmt.Errorf("the vectors have the norms %v", s.Norms)
			}
		}
	case "models":
		if !slices.Equal(s.Names, []string{"echo"}) {
			return fmt.Errorf("the models are %v", s.Names)
		}
	default:
		return fmt.Errorf("this is no case of the suite")
	}
	return nil
}

// rightArguments checks what the model makes of the tool's schema.
func rightArguments(text string) error {
	var got map[string]any
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		return fmt.Errorf("the arguments %q: %w", text, err)
	}
	want := map[string]any{"city": asked, "days": 3.0, "unit": "celsius"}
	if !maps.Equal(got, want) {
		return fmt.Errorf("the arguments are %v, want %v", got, want)
	}
	return nil
}

// judgeAll has a subtest for each case that a client was to do, whether it told
// of it or not.
func judgeAll(t *testing.T, all []seen) {
	t.Helper()
	found := map[string]*seen{}
	for i := range all {
		key := all[i].Route + "/" + all[i].Case
		if found[key] != nil {
			t.Errorf("%s was told twice", key)
		}
		found[key] = &all[i]
	}
	for i, w := range works() {
		t.Run(w.Route, func(t *testing.T) {
			for _, c := range w.Cases {
				t.Run(c, func(t *testing.T) {
					s := found[w.Route+"/"+c]
					delete(found, w.Route+"/"+c)
					if s == nil {
						t.Fatal("the client did not tell of it")
					}
					if err := backends[i].judge(s); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}

// TestSDKs has each client talk to each provider.
func TestSDKs(t *testing.T) {
	t.Parallel()
	n := deploy(t)
	t.Run("clients", func(t *testing.T) { // ends when all the clients have
		t.Run("anthropic-go", func(t *testing.T) {
			t.Parallel()
			anthropicGo(t, n)
		})
		t.Run("go", func(t *testing.T) {
			t.Parallel()
			judgeAll(t, openaiGo(t, n))
		})
		t.Run("python", func(t *testing.T) {
			t.Parallel()
			judgeAll(t, script(t, n, "python"))
		})
		t.Run("node", func(t *testing.T) {
			t.Parallel()
			judgeAll(t, script(t, n, "node"))
		})
	})
}
