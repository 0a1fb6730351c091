//go:build unix

package soak_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// caller is how callers of one format ask.
type caller struct {
	format string
	ask    string // %s is the prompt
	stream string // further members for a stream
	// read takes what an event, or a whole answer, says.
	read func(data []byte, into *heard) error
	end  string // the data of the event that ends a stream
}

// heard is what a caller has heard of an answer.
type heard struct {
	text               string
	finishes           int
	prompt, completion int // -1: not told
	failed             bool
}

var callers = map[string]*caller{
	"openai": {
		format: "openai",
		ask:    `{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"%s 1 + 1 = ?"}],"max_tokens":100`,
		stream: `,"stream":true,"stream_options":{"include_usage":true}`,
		read:   readOpenAI, end: "[DONE]",
	},
	"anthropic": {
		format: "anthropic",
		ask:    `{"max_tokens":100,"system":"Be brief.","messages":[{"role":"user","content":"%s 1 + 1 = ?"}]`,
		stream: `,"stream":true`,
		read:   readAnthropic, end: `{"type":"message_stop"}`,
	},
}

func readOpenAI(data []byte, h *heard) error {
	var said struct {
		Choices []struct {
			Message, Delta struct{ Content string }
			FinishReason   *string `json:"finish_reason"`
		}
		Usage *struct {
			Prompt     int `json:"prompt_tokens"`
			Completion int `json:"completion_tokens"`
			Total      int `json:"total_tokens"`
		}
		Error *struct{ Message string }
	}
	if err := json.Unmarshal(data, &said); err != nil {
		return err
	}
	for _, c := range said.Choices {
		h.text += c.Message.Content + c.Delta.Content
		if c.FinishReason != nil {
			h.finishes++
		}
	}
	if u := said.Usage; u != nil {
		if u.Total != u.Prompt+u.Completion {
			return fmt.Errorf("%d tokens are not %d and %d", u.Total, u.Prompt, u.Completion)
		}
		h.prompt, h.completion = u.Prompt, u.Completion
	}
	h.failed = said.Error != nil
	return nil
}

func readAnthropic(data []byte, h *heard) error {
	type usage struct {
		Input  *int `json:"input_tokens"`
		Output *int `json:"output_tokens"`
	}
	var said struct {
		Type    string
		Content []struct{ Text string }
		Delta   struct {
			Text string
			Stop *string `json:"stop_reason"`
		}
		Stop    *string `json:"stop_reason"`
		Usage   *usage
		Message struct{ Usage *usage }
	}
	if err := json.Unmarshal(data, &said); err != nil {
		return err
	}
	for _, c := range said.Content {
		h.text += c.Text
	}
	h.text += said.Delta.Text
	if said.Stop != nil || said.Delta.Stop != nil {
		h.finishes++
	}
	for _, u := range []*usage{said.Message.Usage, said.Usage} {
		if u == nil {
			continue
		}
		if u.Input != nil {
			h.prompt = *u.Input
		}
		if u.Output != nil {
			h.completion = *u.Output
		}
	}
	h.failed = said.Type == "error"
	return nil
}

// route is a way through the gateway.
type route struct{ caller, provider string }

func (r route) String() string { return r.caller + " to " + r.provider }

func (r route) path() string { return "/" + r.caller + "-" + r.provider }

var errLeft = errors.New("the caller has left")

// call makes one call and judges what comes back. Its error says what was not as
// expected; a caller who leaves expects nothing more.
func call(ctx context.Context, client *http.Client, proxy string, way route, o order) error {
	from := callers[way.caller]
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	text := fmt.Sprintf(from.ask, o)
	if o.streams() {
		text += from.stream
	} else if o.conduct == endless {
		timer := time.AfterFunc(50*time.Millisecond, func() { leave(errLeft) })
		defer timer.Stop()
	}
	in, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+proxy+way.path(), strings.NewReader(text+"}"))
	if err != nil {
		return err
	}
	in.Header.Set("Content-Type", "application/json")
	out, err := client.Do(in)
	if errors.Is(context.Cause(ctx), errLeft) {
		if err == nil {
			err = out.Body.Close()
			if o.conduct != endless {
				return err
			}
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer out.Body.Close()
	if want := o.status(); out.StatusCode != want {
		body, _ := io.ReadAll(io.LimitReader(out.Body, 500))
		return fmt.Errorf("status %d, want %d: %s", out.StatusCode, want, body)
	}
	if out.StatusCode != http.StatusOK {
		return judgeError(out.Body)
	}
	h := heard{prompt: -1, completion: -1}
	if !o.streams() {
		body, err := io.ReadAll(out.Body)
		if err == nil {
			err = from.read(body, &h)
		}
		if err != nil {
			return err
		}
		return o.judge(&h)
	}
	return o.listen(bufio.NewReader(out.Body), from, &h, func() { leave(errLeft) })
}

// status is what the answer to an order must have. A stream that has begun has 200,
// whatever becomes of it.
func (o order) status() int {
	switch {
	case o.conduct == refuse:
		return http.StatusServiceUnavailable
	case o.streams():
		return http.StatusOK
	case o.conduct == cut:
		return http.StatusBadGateway
	case o.conduct == stall:
		return http.StatusGatewayTimeout
	case o.conduct == malformed:
		return http.StatusInternalServerError
	}
	return http.StatusOK
}

// judgeError wants an error to be JSON.
func judgeError(body io.Reader) error {
	data, err := io.ReadAll(body)
	if err == nil && !json.Valid(data) {
		err = fmt.Errorf("an error that is no JSON: %.200q", data)
	}
	return err
}

// judge wants a complete answer: the text, one reason for its end, and the counts.
func (o order) judge(h *heard) error {
	want := heard{text: strings.Join(o.words(), ""), finishes: 1, prompt: o.prompt(), completion: o.completion()}
	if *h != want {
		return fmt.Errorf("heard %+v, want %+v", *h, want)
	}
	return nil
}

// listen reads a stream to its end, which must be exactly one of three: complete,
// with its end mark; with a failure's event behind which nothing comes; or broken
// off. Which ones are right depends on what the model did.
func (o order) listen(body *bufio.Reader, from *caller, h *heard, leave func()) error {
	ended := false
	for {
		line, err := body.ReadSlice('\n')
		if data, is := strings.CutPrefix(string(line), "data: "); is && err == nil {
			data = strings.TrimSpace(data)
			switch {
			case ended || h.failed:
				return fmt.Errorf("behind the end comes %s", data)
			case data == from.end:
				ended = true
			default:
				if err := from.read([]byte(data), h); err != nil {
					return fmt.Errorf("event %q: %w", data, err)
				}
			}
			if o.conduct == endless && h.text != "" {
				leave()
				return nil
			}
		}
		if err == nil {
			continue
		}
		whole := strings.Join(o.words(), "")
		switch clean := err == io.EOF; {
		case o.conduct == endless:
			return fmt.Errorf("the answer ended before the caller left: %w", err)
		case ended && clean && (o.conduct == well || o.conduct == malformed):
			return o.judge(h)
		case ended:
			return fmt.Errorf("an answer to %s ended as if it were whole, %v: %+v", o, err, *h)
		case o.conduct == well:
			return fmt.Errorf("broke off, %v: %+v", err, *h)
		case h.finishes > 0 || !strings.HasPrefix(whole, h.text):
			return fmt.Errorf("broke off with a reason for its end or a wrong text: %+v", *h)
		case !h.failed && clean:
			return fmt.Errorf("a quiet end: %+v", *h)
		}
		return nil
	}
}
