package admin_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

// TestSNIRaces has several writers claim the same server names. It runs on both
// databases, of which only one has writers at the same time.
func TestSNIRaces(t *testing.T)         { testSNIRaces(t, openStore) }
func TestSNIRacesPostgres(t *testing.T) { testSNIRaces(t, openPostgres) }

func testSNIRaces(t *testing.T, open func(testing.TB) store.Store) {
	s := newServerOn(t, open(t), nil)
	pair := strings.TrimSuffix(certificateBody(certificateID), "}")
	if !strings.HasPrefix(pair, "{") {
		t.Fatalf("no JSON: %s", pair)
	}
	const writers = 8
	id := func(i int) string { return fmt.Sprintf("0000000%d-0000-4000-8000-00000000000%d", i, i) }
	body := func(i int, names string) string {
		return strings.Replace(pair, certificateID, id(i), 1) + `,"snis":[` + names + `]}`
	}
	each := func(f func(i int)) {
		var all sync.WaitGroup
		for i := range writers {
			all.Go(func() { f(i) })
		}
		all.Wait()
	}

	// One of those who add a certificate gets the name, the others hear who has it.
	codes := make([]int, writers)
	each(func(i int) {
		code, _, answer := call(t, s, "PUT", "/certificates/"+id(i), "", body(i, fmt.Sprintf(`"shared.example","own-%d.example"`, i)))
		if codes[i] = code; code != 200 && code != 400 && code != 409 {
			t.Errorf("writer %d: got %d %s", i, code, answer)
		}
	})
	won := slices.Index(codes, 200)
	if n := len(slices.DeleteFunc(slices.Clone(codes), func(c int) bool { return c != 200 })); n != 1 {
		t.Fatalf("%d of %d writers have the name: %v", n, writers, codes)
	}
	list := must(t, s, 200, "GET", "/certificates", "", "").Get("data").Elements()
	if len(list) != 1 || list[0].Get("id").Text() != id(won) {
		t.Errorf("there are certificates of those who did not get the name: %d", len(list))
	}
	if snis := must(t, s, 200, "GET", "/snis", "", "").Get("data").Elements(); len(snis) != 2 {
		t.Errorf("%d SNIs, want the two of the winner", len(snis))
	}

	// Those who change the list of one certificate leave one of their lists, whole.
	each(func(i int) {
		names := fmt.Sprintf(`"a-%d.example","b-%d.example"`, i, i)
		if code, _, answer := call(t, s, "PATCH", "/certificates/"+id(won), "", `{"snis":[`+names+`]}`); code != 200 {
			t.Errorf("writer %d: got %d %s", i, code, answer)
		} else if !strings.Contains(answer, `"snis":[`+names+`]`) {
			t.Errorf("writer %d was shown %s", i, answer)
		}
	})
	left := must(t, s, 200, "GET", "/certificates/"+id(won), "", "").Get("snis").Elements()
	if len(left) != 2 || strings.TrimPrefix(left[0].Text(), "a") != strings.TrimPrefix(left[1].Text(), "b") {
		t.Errorf("the lists were mixed: %v", left)
	}
	if snis := must(t, s, 200, "GET", "/snis", "", "").Get("data").Elements(); len(snis) != 2 {
		t.Errorf("%d SNIs are left, want two", len(snis))
	}
}
