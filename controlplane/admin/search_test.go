package admin_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/schema"
)

// pages reads all pages of a list; between is called after each.
func pages(t testing.TB, s http.Handler, path string, between func()) []schema.Document {
	t.Helper()
	var all []schema.Document
	offset := ""
	for n := 0; ; n++ {
		if n > 1000 {
			t.Fatalf("GET %s does not end", path)
		}
		page := must(t, s, 200, "GET", path+offset, "", "")
		all = append(all, page.Get("data").Elements()...)
		token := page.Get("offset")
		if next := page.Get("next"); token.IsAbsent() != next.IsNull() {
			t.Fatalf("GET %s%s: offset is %s, next %s", path, offset, token, next)
		}
		if token.IsAbsent() {
			return all
		}
		offset = "&offset=" + url.QueryEscape(token.Text())
		if between != nil {
			between()
		}
	}
}

func idsOf(rows []schema.Document) []string {
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.Get("id").Text()
	}
	return ids
}

// TestSortedPages compares the pages of ordered lists with the order of a sort,
// for fields with ties, without values and with long texts.
func TestSortedPages(t *testing.T) {
	s := newServer(t, nil)
	long := strings.Repeat("l", 300)
	for i := range 60 {
		body := fmt.Sprintf(`{"host":"h%d","port":%d,"enabled":%t`, rand.IntN(20), rand.IntN(5)*100, i%3 == 0)
		switch i % 4 {
		case 0:
			body += fmt.Sprintf(`,"name":"n%02d"`, i)
		case 1:
			body += fmt.Sprintf(`,"name":"%s%02d"`, long, 99-i)
		}
		must(t, s, 201, "POST", "/services", "", body+"}")
	}
	all := pages(t, s, "/services?size=1000", nil)
	keys := map[string]func(schema.Document) string{
		// What has no value comes last, and of texts the first 256 bytes count.
		"name": func(d schema.Document) string {
			if d.Get("name").IsNull() {
				return "\xff"
			}
			return d.Get("name").Text()[:min(256, len(d.Get("name").Text()))]
		},
		"host":    func(d schema.Document) string { return d.Get("host").Text() },
		"port":    func(d schema.Document) string { return fmt.Sprintf("%5s", d.Get("port").Text()) },
		"enabled": func(d schema.Document) string { return d.Get("enabled").String() },
		"id":      func(d schema.Document) string { return d.Get("id").Text() },
	}
	for field, key := range keys {
		for _, desc := range []bool{false, true} {
			want := slices.Clone(all)
			slices.SortFunc(want, func(a, b schema.Document) int {
				n := strings.Compare(key(a), key(b))
				if desc {
					n = -n
				}
				return cmp.Or(n, strings.Compare(a.Get("id").Text(), b.Get("id").Text()))
			})
			for _, size := range []int{1, 7, 60, 1000} {
				path := fmt.Sprintf("/services?sort_by=%s&size=%d", field, size)
				if desc {
					path += "&sort_desc=1"
				}
				if got := idsOf(pages(t, s, path, nil)); !slices.Equal(got, idsOf(want)) {
					t.Errorf("GET %s, all pages:\n got %v\nwant %v", path, got, idsOf(want))
				}
			}
		}
	}
}

// TestSortedPagesStayRight writes between pages: what is there all the time must
// come exactly once, even when the row at which a page ended is gone.
func TestSortedPagesStayRight(t *testing.T) {
	s := newServer(t, nil)
	var stays []string
	for i := range 30 {
		one := must(t, s, 201, "POST", "/services", "", fmt.Sprintf(`{"host":"h","name":"n%02d"}`, i))
		if i%2 == 0 {
			stays = append(stays, one.Get("id").Text())
		}
	}
	n := 0
	got := idsOf(pages(t, s, "/services?sort_by=name&size=3", func() {
		// Rows that were shown go, and new ones come before and after.
		must(t, s, 204, "DELETE", fmt.Sprintf("/services/n%02d", 2*n+1), "", "")
		must(t, s, 201, "POST", "/services", "", fmt.Sprintf(`{"host":"h","name":"a%02d"}`, n))
		must(t, s, 201, "POST", "/services", "", fmt.Sprintf(`{"host":"h","name":"z%02d"}`, n))
		n++
	}))
	slices.Sort(got)
	if len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Errorf("rows came twice: %v", got)
	}
	for _, id := range stays {
		if !slices.Contains(got, id) {
			t.Errorf("service %s did not come", id)
		}
	}
}

// TestSearchedPages follows the pages of a search that finds every third row.
func TestSearchedPages(t *testing.T) {
	s := newServer(t, nil)
	want := 0
	for i := range 40 {
		name := fmt.Sprintf("other-%d", i)
		if i%3 == 0 {
			name = fmt.Sprintf("Found-%d", i)
			want++
		}
		must(t, s, 201, "POST", "/services", "", fmt.Sprintf(`{"host":"h","name":"%s"}`, name))
	}
	for _, path := range []string{"/services?name=found&size=5", "/services?name=found&size=5&sort_by=name"} {
		rows := pages(t, s, path, nil)
		if len(rows) != want {
			t.Errorf("GET %s: %d rows, want %d", path, len(rows), want)
		}
		for _, r := range rows {
			if !strings.HasPrefix(r.Get("name").Text(), "Found-") {
				t.Errorf("GET %s: found %s", path, r.Get("name"))
			}
		}
	}
}

// TestTargetPages follows counts, newest first.
func TestTargetPages(t *testing.T) {
	s := newServer(t, nil)
	must(t, s, 200, "PUT", "/upstreams/u", "", `{}`)
	var want []string
	for i := range 25 {
		one := must(t, s, 201, "POST", "/upstreams/u/targets", "",
			fmt.Sprintf(`{"target":"10.0.0.%d","created_at":%d.5}`, i, 1700000000+i))
		want = append(want, one.Get("id").Text())
	}
	slices.Reverse(want)
	for _, size := range []int{1, 6, 25, 100} {
		path := fmt.Sprintf("/upstreams/u/targets?size=%d", size)
		if got := idsOf(pages(t, s, path, nil)); !slices.Equal(got, want) {
			t.Errorf("GET %s, all pages:\n got %v\nwant %v", path, got, want)
		}
	}
	if got := must(t, s, 200, "GET", "/upstreams/u/targets?offset=99", "", ""); len(got.Get("data").Elements()) != 0 || !got.Get("next").IsNull() {
		t.Errorf("a page past the end is %s", got)
	}
}
