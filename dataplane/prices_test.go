package dataplane

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/internal/settings"
	"github.com/gibbon-gateway/gibbon/internal/telemetry"
)

const ownPrices = `{"schema":1,"date":"2026-01-02","currency":"EUR","models":[{"providers":["openai"],"models":["mine"],"input":1,"output":2}]}`

func TestPriceList(t *testing.T) {
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tt := range []struct{ name, value, model, wrong string }{
		{"built in", "builtin", "gpt-4o", ""},
		{"off", "off", "", ""},
		{"file", file("good", ownPrices), "mine", ""},
		{"no file", filepath.Join(folder, "none"), "", "ai_price_list: open"},
		{"wrong file", file("bad", strings.Replace(ownPrices, `"output":2`, `"outptu":2`, 1)), "", "/bad: read JSON"},
		{"endless file", "/dev/zero", "", "longer than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list, err := priceList(&settings.Settings{AIPriceList: tt.value})
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Errorf("error is %v, want one with %q", err, tt.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if found := list.Find("openai", tt.model) != nil; found != (tt.model != "") {
				t.Errorf("prices of %q: %v", tt.model, found)
			}
		})
	}
}

// A reload takes up a new list, and keeps the old one when the new is wrong.
func TestReloadPrices(t *testing.T) {
	log, err := telemetry.NewLog(telemetry.Config{Output: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	d := &DataPlane{cfg: Config{Log: log}}
	path := filepath.Join(t.TempDir(), "prices")
	s := &settings.Settings{AIPriceList: path}
	for _, text := range []string{ownPrices, "{"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d.Reload(s)
		if d.prices.Find("openai", "mine", "") == nil {
			t.Errorf("after %s there are no prices", text)
		}
	}
}
