package provider

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// geminiSigned marks a signature of a call that is told to the caller as one of
// the thought before it: callers whose format has no place for a call's give it
// back that way. The mark keeps apart what other vendors' models have signed,
// which Google would refuse.
const geminiSigned = "gemini:"

// geminiUnsigned is what Google takes in place of the signature of a call that
// another model made.
const geminiUnsigned = "skip_thought_signature_validator"

// geminiTurns writes the turns of a chat.
type geminiTurns struct {
	w      *geminiWriter
	chat   *llm.ChatCall
	model  string
	system []string
	// calls are the calls so far by their ids, the latest of each.
	calls map[string]geminiCalled
}

// geminiCalled is a call that a tool's message may answer.
type geminiCalled struct {
	name  string
	order int
}

func (g *Gemini) writeChat(w *geminiWriter, call *Call, request *llm.Request) error {
	chat, err := request.Chat()
	if err != nil {
		return err
	}
	t := geminiTurns{w: w, chat: chat, model: strings.TrimPrefix(call.Model, "models/")}
	w.name("contents")
	w.open('[')
	if err := t.write(); err != nil {
		return err
	}
	w.close(']')
	if len(t.system) > 0 {
		if strings.HasPrefix(t.model, "gemini-1.0") {
			return errors.New("system prompts aren't supported on gemini-1.0 models")
		}
		geminiSystem(w, strings.Join(t.system, ""))
	}
	if err := geminiTools(w, chat.Tools); err != nil {
		return err
	}
	var extra geminiExtra
	extra.read(chat.Origin, chat.Extra)
	if !slices.ContainsFunc(extra.top, func(m llm.Member) bool { return m.Name == "toolConfig" }) {
		geminiChoice(w, &chat.ToolChoice)
	}
	config := geminiWriter{out: []byte{'{'}}
	geminiTune(&config, call, &chat.Options)
	geminiOutput(&config, &chat.Output)
	if !extra.has("thinkingConfig") {
		geminiThink(&config, t.model, &chat.Reasoning)
	}
	extra.write(w, &config)
	return nil
}

func (g *Gemini) writeCompletion(w *geminiWriter, call *Call, request *llm.Request) error {
	completion, err := request.Decoder.Completion(request)
	if err != nil {
		return err
	}
	if len(completion.Prompts) != 1 {
		return errors.New("a completion by Gemini takes exactly one prompt")
	}
	w.name("contents")
	w.open('[')
	w.open('{')
	w.text("role", "user")
	w.name("parts")
	w.open('[')
	w.open('{')
	w.text("text", completion.Prompts[0])
	w.out = append(w.out, "}]}]"...)
	var extra geminiExtra
	extra.read(completion.Origin, completion.Extra)
	config := geminiWriter{out: []byte{'{'}}
	geminiTune(&config, call, &completion.Options)
	extra.write(w, &config)
	return nil
}

func geminiSystem(w *geminiWriter, text string) {
	w.name("systemInstruction")
	w.open('{')
	w.name("parts")
	w.open('[')
	w.open('{')
	w.text("text", text)
	w.out = append(w.out, "}]}"...)
}

// write writes all turns, and collects what the system says.
func (t *geminiTurns) write() error {
	messages := t.chat.Messages
	for i := 0; i < len(messages); i++ {
		m := &messages[i]
		if len(m.Parts) == 0 && len(m.Calls) == 0 && m.Role != llm.RoleTool {
			return fmt.Errorf("message at position %d does not match expected array format", i+1)
		}
		var err error
		switch m.Role {
		case llm.RoleSystem, llm.RoleDeveloper:
			err = t.instruct(m)
		case llm.RoleTool, geminiFunction:
			// All results of one turn belong into one turn.
			end := i + 1
			for end < len(messages) && messages[end].Role == m.Role {
				end++
			}
			err = t.results(messages[i:end], i)
			i = end - 1
		default:
			err = t.turn(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// geminiFunction is the role of results in OpenAI's old format, and in Google's.
const geminiFunction llm.Role = "function"

// instruct takes what the system says: its texts, one behind the other.
func (t *geminiTurns) instruct(m *llm.Message) error {
	for i := range m.Parts {
		if m.Parts[i].Kind != llm.PartText {
			return geminiPartError(&m.Parts[i])
		}
		t.system = append(t.system, m.Parts[i].Text)
	}
	return nil
}

// turn writes what a user or the model said.
func (t *geminiTurns) turn(m *llm.Message) error {
	role := "user"
	if m.Role == llm.RoleAssistant {
		role = "model"
	}
	w := t.w
	start := len(w.out)
	w.open('{')
	w.text("role", role)
	w.name("parts")
	w.open('[')
	empty := len(w.out)
	signature := "" // of a thought, for what comes after it
	for i := range m.Parts {
		p := &m.Parts[i]
		switch {
		case p.Kind == llm.PartReasoning || p.Kind == llm.PartRedacted:
			// Thoughts are not told to the model again; it wants its signatures only.
			if own, ok := strings.CutPrefix(p.Signature, geminiSigned); ok {
				signature = own
			}
		case p.Kind == llm.PartText && p.Text == "" && len(m.Calls) > 0:
			// Beside calls many clients send an empty text, which Google refuses.
		default:
			if err := t.part(p, &signature); err != nil {
				return err
			}
		}
	}
	for i := range m.Calls {
		if err := t.call(&m.Calls[i], i, &signature); err != nil {
			return err
		}
	}
	if len(w.out) == empty {
		w.out = w.out[:start] // nothing but thoughts
		return nil
	}
	w.out = append(w.out, "]}"...)
	return nil
}

// part writes a piece of a turn. A signature is used up by the first text.
func (t *geminiTurns) part(p *llm.Part, signature *string) error {
	w := t.w
	switch p.Kind {
	case llm.PartText, llm.PartRefusal:
		w.open('{')
		w.text("text", p.Text)
		if *signature != "" {
			w.text("thoughtSignature", *signature)
			*signature = ""
		}
		w.close('}')
		return nil
	case llm.PartImage, llm.PartAudio, llm.PartFile:
		return t.media(p)
	}
	return geminiPartError(p)
}

// geminiShortest is the length of the shortest URL of an image that Kong reads.
const geminiShortest = 10

func (t *geminiTurns) media(p *llm.Part) error {
	w, kind, address := t.w, p.MediaType, p.URL
	if len(p.Data) > 0 {
		if kind == "" {
			kind = geminiMediaType(p)
		}
		w.element("inlineData")
		w.text("mimeType", kind)
		w.name("data")
		w.out = llm.AppendQuoted(w.out, p.Data)
		w.done()
		return nil
	}
	if head, data, ok := strings.Cut(address, ";base64,"); ok && strings.HasPrefix(head, "data:") {
		head, _, _ = strings.Cut(head[len("data:"):], ";")
		w.element("inlineData")
		w.text("mimeType", head)
		w.text("data", data)
		w.done()
		return nil
	}
	if p.FileID != "" && address == "" {
		address = p.FileID
		if strings.HasPrefix(address, "files/") {
			address = "https://" + geminiHost + "/v1beta/" + address
		}
	} else if len(address) < geminiShortest {
		if p.Kind == llm.PartImage && address != "" {
			return errors.New("could not decode OpenAI image-part, image URL is less than 10 bytes, which is not parsable")
		}
		return geminiPartError(p)
	}
	if kind == "" {
		kind = geminiMediaType(p)
	}
	w.element("fileData")
	w.text("fileUri", address)
	w.text("mimeType", kind)
	w.done()
	return nil
}

// geminiMediaType is the media type of a part that names none.
func geminiMediaType(p *llm.Part) string {
	switch {
	case p.Kind == llm.PartAudio:
		return "audio/" + cmp.Or(p.Format, "wav")
	case p.Kind == llm.PartImage:
		return "image/generic" // Kong's word for it; Google looks for itself
	}
	return "application/pdf"
}

var geminiPartNames = llm.NewLenientNames("type", "text", "image_url")

// geminiPartError says what is wrong with a part that cannot be written, in
// Kong's words.
func geminiPartError(p *llm.Part) error {
	var o llm.Object
	kind := [...]string{
		llm.PartOther: "", llm.PartText: "text", llm.PartImage: "image_url", llm.PartAudio: "input_audio",
		llm.PartFile: "file", llm.PartRefusal: "refusal", llm.PartReasoning: "thinking", llm.PartRedacted: "redacted_thinking",
	}[p.Kind]
	if o.Read(p.JSON, geminiPartNames) == nil {
		if named, ok := o.Text(0); ok {
			kind = named
		}
	}
	switch {
	case kind == "text" && o.Kind(1) != '"':
		return errors.New("message part type is 'text' but is missing .text block")
	case kind == "image_url" && p.URL == "" && len(p.Data) == 0:
		return errors.New("message part type is 'image_url' but is missing .image_url.url block")
	}
	return fmt.Errorf("cannot transform part of type '%s' to Gemini format", kind)
}

var geminiNone = llm.NewLenientNames()

// call writes a call that the model made.
func (t *geminiTurns) call(c *llm.ToolCall, at int, signature *string) error {
	if c.Name == "" {
		return errors.New("cannot transform a call of anything but a function to Gemini format")
	}
	if t.calls == nil {
		t.calls = make(map[string]geminiCalled)
	}
	t.calls[c.ID] = geminiCalled{name: c.Name, order: len(t.calls)}
	arguments := c.Arguments
	if strings.TrimSpace(arguments) == "" {
		arguments = "{}"
	}
	var o llm.Object
	if o.Read([]byte(arguments), geminiNone) != nil {
		return fmt.Errorf("arguments of function '%s' are no JSON object", c.Name)
	}
	own := cmp.Or(c.Signature, geminiOwnSignature(c.JSON), *signature)
	*signature = ""
	if own == "" && at == 0 && geminiMajor(t.model) >= 3 {
		own = geminiUnsigned
	}
	w := t.w
	w.element("functionCall")
	w.text("name", c.Name)
	w.raw("args", arguments)
	w.close('}')
	if own != "" {
		w.text("thoughtSignature", own)
	}
	w.close('}')
	return nil
}

// geminiOwnSignature finds a call's signature where Google's own endpoint for
// OpenAI's clients puts it: extra_content.google.thought_signature.
func geminiOwnSignature(call []byte) (signature string) {
	path := []string{"extra_content", "google", "thought_signature"}
	for i, name := range path {
		value := geminiMember(call, name)
		if len(value) == 0 {
			return ""
		}
		if i == len(path)-1 && value[0] == '"' {
			signature = llm.Unquote(value)
		}
		call = value
	}
	return signature
}

// geminiMember is a member of a valid object; nil when it is not there.
func geminiMember(object []byte, name string) (found []byte) {
	llm.Members(object, func(member string, value []byte) bool {
		if member == name {
			found = value
		}
		return found == nil
	})
	return found
}

// results writes the results of tools as one turn, in the order of the calls:
// Google knows a result by the function's name and, where a function was called
// twice, by its place. at is the place of the first message in the chat.
func (t *geminiTurns) results(messages []llm.Message, at int) error {
	type result struct {
		message *llm.Message
		geminiCalled
	}
	all := make([]result, len(messages))
	for i := range messages {
		m := &messages[i]
		called, ok := t.calls[m.CallID]
		if !ok {
			called.name = cmp.Or(geminiNamed(m), m.CallID)
			if i > 0 {
				called.order = all[i-1].order
			}
		}
		if called.name == "" {
			return fmt.Errorf("message at position %d answers no function call", at+i+1)
		}
		all[i] = result{m, called}
	}
	slices.SortStableFunc(all, func(a, b result) int { return a.order - b.order })
	w := t.w
	w.open('{')
	w.text("role", string(geminiFunction))
	w.name("parts")
	w.open('[')
	for i := range all {
		m := all[i].message
		w.element("function_response")
		w.text("name", all[i].name)
		w.name("response")
		w.open('{')
		if m.Failed {
			w.list("error", geminiTexts(m))
		} else {
			w.list("content", geminiTexts(m))
		}
		w.out = append(w.out, "}}}"...)
	}
	for i := range all {
		for j := range all[i].message.Parts {
			if p := &all[i].message.Parts[j]; p.Kind != llm.PartText {
				if err := t.part(p, new(string)); err != nil {
					return err
				}
			}
		}
	}
	w.out = append(w.out, "]}"...)
	return nil
}

// geminiTexts are the texts of a result; one without any has an empty one.
func geminiTexts(m *llm.Message) []string {
	texts := make([]string, 0, 1)
	for i := range m.Parts {
		if m.Parts[i].Kind == llm.PartText {
			texts = append(texts, m.Parts[i].Text)
		}
	}
	if len(texts) == 0 {
		return []string{""}
	}
	return texts
}

// geminiNamed is the name that a message itself gives the function.
func geminiNamed(m *llm.Message) string {
	for _, member := range m.Extra {
		if value := bytes.TrimSpace(member.Value); member.Name == "name" && len(value) > 2 && value[0] == '"' {
			return llm.Unquote(value)
		}
	}
	return ""
}

// geminiMajor is the generation of a model as its name tells: 3 for
// gemini-3-pro, 0 where the name does not tell.
func geminiMajor(model string) int {
	rest, ok := strings.CutPrefix(model, "gemini-")
	if !ok || rest == "" || rest[0] < '1' || rest[0] > '9' {
		return 0
	}
	return int(rest[0] - '0')
}
