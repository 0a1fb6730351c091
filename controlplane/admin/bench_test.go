package admin_test

import (
	"fmt"
	"testing"
)

// BenchmarkList reads a full page.
func BenchmarkList(b *testing.B) {
	s := newServer(b, nil)
	for i := range 1000 {
		must(b, s, 201, "POST", "/services", "", fmt.Sprintf(`{"name":"s%d","host":"h"}`, i))
	}
	for b.Loop() {
		if code, _, _ := call(b, s, "GET", "/services?size=1000", "", ""); code != 200 {
			b.Fatalf("got %d", code)
		}
	}
}

// BenchmarkGet reads one entity by its name.
func BenchmarkGet(b *testing.B) {
	s := newServer(b, nil)
	must(b, s, 201, "POST", "/services", "", `{"name":"s","host":"h"}`)
	for b.Loop() {
		if code, _, _ := call(b, s, "GET", "/services/s", "", ""); code != 200 {
			b.Fatalf("got %d", code)
		}
	}
}

// BenchmarkPatch changes one entity, on disk.
func BenchmarkPatch(b *testing.B) {
	s := newServer(b, nil)
	must(b, s, 201, "POST", "/services", "", `{"name":"s","host":"h"}`)
	for b.Loop() {
		if code, _, _ := call(b, s, "PATCH", "/services/s", "", `{"retries":3}`); code != 200 {
			b.Fatalf("got %d", code)
		}
	}
}
