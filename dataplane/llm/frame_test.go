package llm

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type frameSeen struct {
	Name, Data string
	Failed     bool
}

func readFrames(limit int, pieces ...[]byte) (out []frameSeen, partial bool, err error) {
	reader := FrameReader{Max: limit}
	for _, piece := range pieces {
		// The reader may not hold on to a piece that its owner uses again.
		lent := bytes.Clone(piece)
		err = reader.Read(lent, func(e ServerEvent) error {
			out = append(out, frameSeen{string(e.Name), string(e.Data), e.Failed})
			return nil
		})
		clear(lent)
		if err != nil {
			return out, false, err
		}
	}
	return out, reader.Partial(), nil
}

// rawFrame makes a frame of headers that are already bytes.
func rawFrame(headers, payload string) []byte {
	frame := binary.BigEndian.AppendUint32(nil, uint32(16+len(headers)+len(payload)))
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(headers)))
	frame = binary.BigEndian.AppendUint32(frame, crc32.ChecksumIEEE(frame))
	frame = append(frame, headers+payload...)
	return binary.BigEndian.AppendUint32(frame, crc32.ChecksumIEEE(frame))
}

// everyHeader has one header of each type of value before the ones that count.
const everyHeader = "\x01a\x00" + "\x01b\x01" + "\x01c\x02x" + "\x01d\x03xx" + "\x01e\x04xxxx" + "\x01f\x05xxxxxxxx" +
	"\x01g\x06\x00\x03xxx" + "\x01h\x07\x00\x02hh" + "\x01i\x08xxxxxxxx" + "\x01j\x09xxxxxxxxxxxxxxxx" +
	"\x0b:event-type\x07\x00\x04last" + "\x0d:message-type\x07\x00\x05event"

const errorHeaders = "\x0d:message-type\x07\x00\x05error" + "\x0b:error-code\x07\x00\x03bad" + "\x0e:error-message\x07\x00\x07it is \""

var frameCases = []struct {
	name   string
	stream []byte
	want   []frameSeen
}{
	{"none", nil, nil},
	{"one", AppendFrame(nil, "messageStart", "application/json", []byte(`{"role":"assistant"}`)),
		[]frameSeen{{"messageStart", `{"role":"assistant"}`, false}}},
	{"several", AppendFrame(AppendFrame(AppendFrame(nil, "a", "t", []byte("1")), "b", "t", nil), "c", "t", []byte("333")),
		[]frameSeen{{"a", "1", false}, {"b", "", false}, {"c", "333", false}}},
	{"exception", AppendExceptionFrame(nil, "throttlingException", "application/json", []byte(`{"message":"slow"}`)),
		[]frameSeen{{"throttlingException", `{"message":"slow"}`, true}}},
	{"error", rawFrame(errorHeaders, ""), []frameSeen{{"bad", `{"message":"it is \""}`, true}}},
	{"error with payload", rawFrame(errorHeaders, "{}"), []frameSeen{{"bad", `{}`, true}}},
	{"all types of headers", rawFrame(everyHeader, "p"), []frameSeen{{"last", "p", false}}},
	{"no headers", rawFrame("", "p"), []frameSeen{{"", "p", false}}},
	{"a name that is no string", rawFrame("\x0b:event-type\x06\x00\x01x", ""), []frameSeen{{"", "", false}}},
}

func TestFrameReaderAnySplit(t *testing.T) {
	for _, tt := range frameCases {
		t.Run(tt.name, func(t *testing.T) {
			check := func(how string, pieces ...[]byte) {
				t.Helper()
				got, partial, err := readFrames(0, pieces...)
				if diff := cmp.Diff(tt.want, got); diff != "" || partial || err != nil {
					t.Fatalf("%s: partial %v, error %v, events (-want +got):\n%s", how, partial, err, diff)
				}
			}
			check("whole", tt.stream)
			var single [][]byte
			for i := range tt.stream {
				single = append(single, tt.stream[i:i+1])
				for j := i; j <= len(tt.stream); j += 7 {
					check("three", tt.stream[:i], tt.stream[i:j], tt.stream[j:])
				}
			}
			check("bytes", single...)
		})
	}
}

func TestFrameReaderRefuses(t *testing.T) {
	good := AppendFrame(nil, "name", "type", []byte("payload"))
	for at := range good {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		got, partial, err := readFrames(0, bad)
		if err == nil && !partial || len(got) > 0 {
			t.Errorf("byte %d changed: events %v, error %v", at, got, err)
		}
	}
	for _, tt := range []struct {
		name   string
		stream []byte
		reason string
	}{
		{"prelude", append([]byte{0, 0, 0, 16, 0, 0, 0, 0, 1, 2, 3, 4}, 0, 0, 0, 0), "checksum of the prelude"},
		{"shorter than a frame", prelude(15, 0), "lengths that contradict each other"},
		{"headers longer than the frame", prelude(20, 5), "lengths that contradict each other"},
		{"headers of any length", prelude(100, 1<<32-1), "lengths that contradict each other"},
		{"header without a name", rawFrame("\x00\x00", ""), "header that does not fit"},
		{"header cut in its name", rawFrame("\x05ab", ""), "header that does not fit"},
		{"header cut behind its name", rawFrame("\x02ab", ""), "header that does not fit"},
		{"header of an unknown type", rawFrame("\x01a\x0a", ""), "header that does not fit"},
		{"header cut in its length", rawFrame("\x01a\x07\x00", ""), "header that does not fit"},
		{"header cut in its value", rawFrame("\x01a\x07\x00\x02b", ""), "header that does not fit"},
		{"number cut", rawFrame("\x01a\x05xxxxxxx", ""), "header that does not fit"},
	} {
		_, _, err := readFrames(0, tt.stream)
		var bad *FrameError
		if !errors.As(err, &bad) || bad.Reason != tt.reason {
			t.Errorf("%s: error %v, want %s", tt.name, err, tt.reason)
		}
	}
}

func prelude(total, headers uint32) []byte {
	text := binary.BigEndian.AppendUint32(nil, total)
	text = binary.BigEndian.AppendUint32(text, headers)
	return binary.BigEndian.AppendUint32(text, crc32.ChecksumIEEE(text))
}

// TestFrameReaderLimit refuses a frame by its prelude, before any of it is kept.
func TestFrameReaderLimit(t *testing.T) {
	frame := AppendFrame(nil, "name", "type", []byte(strings.Repeat("x", 100)))
	if got, _, err := readFrames(len(frame), frame); err != nil || len(got) != 1 {
		t.Errorf("at the limit: %v, %v", got, err)
	}
	if _, _, err := readFrames(len(frame)-1, frame[:framePrelude]); !errors.Is(err, ErrEventTooLarge) {
		t.Errorf("beyond the limit: %v", err)
	}
	if _, _, err := readFrames(0, prelude(MaxEvent+1, 0)); !errors.Is(err, ErrEventTooLarge) {
		t.Errorf("beyond the usual limit: %v", err)
	}
}

func TestFrameReaderClose(t *testing.T) {
	frame := AppendFrame(nil, "name", "type", []byte("x"))
	none := func(ServerEvent) error { return nil }
	for cut := 1; cut < len(frame); cut++ {
		var reader FrameReader
		if err := reader.Read(frame[:cut], none); err != nil {
			t.Fatal(err)
		}
		if !reader.Partial() {
			t.Errorf("cut at %d: no partial frame", cut)
		}
		if err := reader.Close(none); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: Close gave %v", cut, err)
		}
	}
	var reader FrameReader
	stop := errors.New("stop")
	if err := reader.Read(frame, func(ServerEvent) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("f's error is lost: %v", err)
	}
	if err := reader.Close(none); err != nil {
		t.Error(err)
	}
}

// TestFrameFixture reads a recorded stream, and writes it again byte for byte.
func TestFrameFixture(t *testing.T) {
	root := os.Getenv("GIBBON_EXTRA_FIXTURES")
	if root == "" {
		t.Skip("GIBBON_EXTRA_FIXTURES is not set")
	}
	folder := filepath.Join(root, "unit", "streaming-chunk-formats", "aws")
	if _, err := os.Stat(folder); err != nil {
		folder = filepath.Join(root, "ai-proxy", "unit", "streaming-chunk-formats", "aws")
	}
	stream, err := os.ReadFile(filepath.Join(folder, "input.bin"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile(filepath.Join(folder, "expected-output.json"))
	if err != nil {
		t.Fatal(err)
	}
	var frames []struct{ Data string }
	if err := json.Unmarshal(list, &frames); err != nil {
		t.Fatal(err)
	}
	var want []frameSeen
	var written []byte
	for _, frame := range frames {
		var inner struct {
			Body    string
			Headers map[string]string
		}
		if err := json.Unmarshal([]byte(frame.Data), &inner); err != nil {
			t.Fatal(err)
		}
		h := inner.Headers
		if h[":message-type"] != "event" {
			t.Fatalf("message type %q", h[":message-type"])
		}
		want = append(want, frameSeen{h[":event-type"], inner.Body, false})
		written = AppendFrame(written, h[":event-type"], h[":content-type"], []byte(inner.Body))
	}
	for _, size := range []int{1, 5, 100, len(stream)} {
		var pieces [][]byte
		for rest := stream; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			pieces = append(pieces, rest[:min(size, len(rest))])
		}
		got, partial, err := readFrames(0, pieces...)
		if diff := cmp.Diff(want, got); diff != "" || partial || err != nil {
			t.Errorf("pieces of %d: partial %v, error %v, events (-want +got):\n%s", size, partial, err, diff)
		}
	}
	if !bytes.Equal(written, stream) {
		t.Errorf("written again the stream is\n%q, want\n%q", written, stream)
	}
}

// FuzzFrames reads any bytes in any split: the events, and whether there is an
// error, must not depend on the split.
func FuzzFrames(f *testing.F) {
	for _, tt := range frameCases {
		f.Add(tt.stream, 5)
	}
	f.Add(prelude(1<<32-1, 1<<32-1), 3)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		whole, partial, err := readFrames(0, stream)
		if size <= 0 {
			return
		}
		var pieces [][]byte
		for rest := stream; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			pieces = append(pieces, rest[:min(size, len(rest))])
		}
		got, gotPartial, gotErr := readFrames(0, pieces...)
		if diff := cmp.Diff(whole, got); diff != "" {
			t.Errorf("events depend on the split:\n%s", diff)
		}
		if partial != gotPartial || (err == nil) != (gotErr == nil) {
			t.Errorf("whole: partial %v, error %v; split: partial %v, error %v", partial, err, gotPartial, gotErr)
		}
	})
}

func BenchmarkFrameReader(b *testing.B) {
	frame := AppendFrame(nil, "contentBlockDelta", "application/json", []byte(`{"contentBlockIndex":0,"delta":{"text":"a few words of an answer"},"p":"abcdefghijklmnop"}`))
	var reader FrameReader
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if err := reader.Read(frame, func(ServerEvent) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
