package echomodel

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func requests(t *testing.T, base string) []Request {
	t.Helper()
	resp, body := do(t, "GET", base+"/_echo/requests", "")
	if resp.StatusCode != 200 {
		t.Fatalf("GET /_echo/requests = %d %s", resp.StatusCode, body)
	}
	var got historyBody
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	return got.Requests
}

func TestRequestsAreRecorded(t *testing.T) {
	base := start(t, Config{})
	body := " " + walk + "\n" // white space must survive too
	do(t, "POST", base+chatPath+"?a=%20b", body, "Authorization", "Bearer NONE", "X-Two", "x")
	do(t, "POST", base+"/nowhere", "\xff\x00")

	got := requests(t, base)
	if len(got) != 2 {
		t.Fatalf("recorded %d requests, want 2: %+v", len(got), got)
	}
	first := got[0]
	if first.Number != 1 || first.Method != "POST" || first.Path != chatPath+"?a=%20b" ||
		first.Host != strings.TrimPrefix(base, "http://") || first.Body != body || first.BodyBase64 != "" {
		t.Errorf("first request recorded as %+v", first)
	}
	if got := first.Headers.Get("Authorization"); got != "Bearer NONE" {
		t.Errorf("Authorization recorded as %q", got)
	}
	var seen struct {
		Model       string          `json:"model"`
		MaxTokens   json.RawMessage `json:"max_tokens"`
		Temperature json.RawMessage `json:"temperature"`
	}
	if err := json.Unmarshal([]byte(first.Body), &seen); err != nil {
		t.Fatal(err)
	}
	if seen.Model != "gpt-4-32k" || string(seen.MaxTokens) != "512" || string(seen.Temperature) != "1.0" {
		t.Errorf("recorded body reads as %+v", seen)
	}
	if got[1].Number != 2 || got[1].Body != "" || got[1].BodyBase64 != base64.StdEncoding.EncodeToString([]byte("\xff\x00")) {
		t.Errorf("binary request recorded as %+v", got[1])
	}

	if resp, _ := do(t, "DELETE", base+"/_echo/requests", ""); resp.StatusCode != http.StatusNoContent {
		t.Errorf("DELETE /_echo/requests = %d, want 204", resp.StatusCode)
	}
	if _, body := do(t, "GET", base+"/_echo/requests", ""); body != "{\"requests\":[]}\n" {
		t.Errorf("after DELETE: %s", body)
	}
}

func TestRequestsAreForThisMachine(t *testing.T) {
	for _, tt := range []struct {
		remote string
		want   bool
	}{
		{"127.0.0.1:1", true}, {"[::1]:1", true}, {"[::ffff:127.0.0.1]:1", true}, {"pipe", true},
		{"192.0.2.1:1", false}, {"[fe80::1%eth0]:1", false},
	} {
		req := newRequest(t, "GET", "http://x/_echo/requests", "")
		req.RemoteAddr = tt.remote
		if err := local(&call{Request: req}); (err == nil) != tt.want {
			t.Errorf("local(%s) = %v, want allowed %v", tt.remote, err, tt.want)
		}
	}
}

func TestHistoryIsBounded(t *testing.T) {
	h := newHistory(3, 100)
	add := func(size int) {
		req := newRequest(t, "POST", "/", "")
		h.add(req, bytes.Repeat([]byte("x"), size), true)
	}
	numbers := func() (n []int64) {
		for _, r := range h.list() {
			n = append(n, r.Number)
		}
		return n
	}
	for _, tt := range []struct {
		size int
		want []int64
	}{
		{10, []int64{1}}, {10, []int64{1, 2}}, {10, []int64{1, 2, 3}},
		{10, []int64{2, 3, 4}}, // one too many
		{85, []int64{4, 5}},    // too many bytes
		{500, []int64{6}},      // the newest stays, whatever its size
		{1, []int64{7}},        // and goes when another comes
		{99, []int64{7, 8}},    // exactly full
	} {
		add(tt.size)
		if diff := cmp.Diff(tt.want, numbers()); diff != "" {
			t.Errorf("after %d bytes (-want +got):\n%s", tt.size, diff)
		}
	}
	h.clear()
	add(1)
	if diff := cmp.Diff([]int64{9}, numbers()); diff != "" || h.bytes != 1 {
		t.Errorf("after clear: %d bytes, (-want +got):\n%s", h.bytes, diff)
	}
}
