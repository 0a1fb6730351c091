package echomodel

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
	"mime/multipart"
	"net/http"
	"strings"
)

// drawImage answers POST /v1/images/generations and /edits with a square of one
// colour, which the call decides.
func drawImage(w *faultWriter, c *call) error {
	var q struct {
		Model  string `json:"model"`
		Prompt string `json:"prompt"`
		N      *int   `json:"n"`
	}
	if kind := c.Header.Get("Content-Type"); strings.HasPrefix(kind, "multipart/") {
		form, err := c.form()
		if err != nil {
			return err
		}
		q.Model, q.Prompt = formValue(form, "model"), formValue(form, "prompt")
	} else if err := c.parse(&q); err != nil {
		return err
	}
	if q.Prompt == "" {
		return invalid("prompt", "the request has no prompt")
	}
	settings := common{model: modelID, n: q.N}
	if err := settings.settle(); err != nil {
		return err
	}
	const side = 16
	shade := []byte(digest(q.Prompt))
	square := image.NewUniform(color.RGBA{R: shade[0] * 2, G: shade[1] * 2, B: shade[2] * 2, A: 0xff})
	picture := image.NewRGBA(image.Rect(0, 0, side, side))
	for x := range side {
		for y := range side {
			picture.Set(x, y, square.C)
		}
	}
	var data bytes.Buffer
	if err := png.Encode(&data, picture); err != nil {
		return err
	}
	images := make([]object, settings.choices)
	for i := range images {
		images[i] = object{"b64_json": base64.StdEncoding.EncodeToString(data.Bytes()), "revised_prompt": echoed + q.Prompt}
	}
	prompt := countTokens(q.Prompt)
	return writeJSON(w, http.StatusOK, object{
		"created": created, "data": images,
		"usage": object{
			"input_tokens": prompt, "input_tokens_details": object{"text_tokens": prompt, "image_tokens": 0},
			"output_tokens": side * settings.choices, "total_tokens": prompt + side*settings.choices,
		},
	})
}

// speak answers POST /v1/audio/speech with silence, a tenth of a second for each
// token.
func speak(w *faultWriter, c *call) error {
	var q struct {
		Model string `json:"model"`
		Input string `json:"input"`
		Voice any    `json:"voice"`
	}
	if err := c.parse(&q); err != nil {
		return err
	}
	if q.Input == "" || q.Voice == nil {
		return invalid("input", "the request has no input, or no voice")
	}
	const rate = 8000 // samples a second, of one byte each
	length := min(countTokens(q.Input)*rate/10, MaxBody/4)
	var wav []byte
	wav = append(wav, "RIFF"...)
	wav = binary.LittleEndian.AppendUint32(wav, uint32(36+length))
	wav = append(wav, "WAVEfmt "...)
	for _, field := range []uint32{16, 1 | 1<<16, rate, rate, 1 | 8<<16} {
		wav = binary.LittleEndian.AppendUint32(wav, field)
	}
	wav = append(wav, "data"...)
	wav = binary.LittleEndian.AppendUint32(wav, uint32(length))
	wav = append(wav, bytes.Repeat([]byte{0x80}, length)...)
	return writeBody(w, http.StatusOK, "audio/wav", wav)
}

// transcribe answers POST /v1/audio/transcriptions and /translations.
func transcribe(w *faultWriter, c *call) error {
	form, err := c.form()
	if err != nil {
		return err
	}
	files := form.File["file"]
	if len(files) != 1 {
		return invalid("file", "the form must hold one file")
	}
	text := echoed + "[audio " + files[0].Filename + "]"
	answer := countTokens(text)
	return writeJSON(w, http.StatusOK, object{
		"text": text,
		"usage": object{
			"type": "tokens", "input_tokens": 1, "input_token_details": object{"audio_tokens": 1, "text_tokens": 0},
			"output_tokens": answer, "total_tokens": 1 + answer,
		},
	})
}

// form reads a multipart form.
func (c *call) form() (*multipart.Form, error) {
	c.Body = http.NoBody
	reader := c.Request.Clone(c.Context())
	reader.Body = readCloser{bytes.NewReader(c.body)}
	if err := reader.ParseMultipartForm(MaxBody); err != nil {
		return nil, invalid("", "the request body is no multipart form: %v", err)
	}
	return reader.MultipartForm, nil
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

func formValue(form *multipart.Form, name string) string {
	if values := form.Value[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}
