package admin

import (
	"crypto/sha256"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

// FuzzIdentify proves itself with whatever strangers make up. Nobody gets in who
// does not show a token whole, or who says another name than the token's.
func FuzzIdentify(f *testing.F) {
	const token = "ann-token-0123456789"
	for _, seed := range [][3]string{
		{token, "", ""}, {"", "Bearer " + token, ""}, {"", "bearer  " + token, "ann"}, {token, "", "bob"}, {token[1:], "", ""},
		{"", "Basic " + token, ""}, {"x", "Bearer " + token, ""}, {"", "", ""}, {"\x00", "Bearer", "ann\xff"}, {token + " ", "", strings.Repeat("a", 100)},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	access := &Access{Tokens: []Token{{"ann", ReadOnly, sha256.Sum256([]byte(token))}}}
	f.Fuzz(func(t *testing.T, own, authorization, user string) {
		s := &Server{cfg: Config{Log: slog.New(slog.DiscardHandler)}}
		s.access.Store(access)
		r := &http.Request{Method: http.MethodGet, Header: http.Header{}, RemoteAddr: "10.0.0.1:1"}
		for name, value := range map[string]string{tokenHeader: own, "Authorization": authorization, userHeader: user} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		who, err := s.identify(r)
		scheme, rest, _ := strings.Cut(authorization, " ")
		proved := own == token || own == "" && strings.EqualFold(scheme, "bearer") && strings.TrimSpace(rest) == token
		proved = proved && (user == "" || user == "ann")
		switch {
		case (err == nil) != proved:
			t.Errorf("%s %q, Authorization %q, %s %q: got in as %+v, %v", tokenHeader, own, authorization, userHeader, user, who, err)
		case err == nil && who != (caller{"ann", ReadOnly}):
			t.Errorf("got in as %+v", who)
		case err != nil && (who != caller{} || asError(err).Status != http.StatusUnauthorized):
			t.Errorf("refused as %+v with %v", who, err)
		}
	})
}
