package buildinfo

import (
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
)

func TestTokens(t *testing.T) {
	if got, want := Via("1.1"), "1.1 kong/3.8.1"; got != want {
		t.Errorf("Via = %q, want %q", got, want)
	}
	if !regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`).MatchString(Version()) {
		t.Errorf("Version() = %q, want major.minor.patch", Version())
	}
	if got := UserAgent(); got != "gibbon/"+Version() {
		t.Errorf("UserAgent() = %q", got)
	}
	// decK takes a Server header with this text for another product.
	if strings.Contains(ServerToken, "ai-gateway") {
		t.Errorf("ServerToken = %q", ServerToken)
	}
}

func TestRevision(t *testing.T) {
	for _, tt := range []struct {
		name     string
		settings []debug.BuildSetting
		want     string
	}{
		{"unknown", nil, ""},
		{"clean", []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef0123"}, {Key: "vcs.modified", Value: "false"}}, "0123456789ab"},
		{"changed", []debug.BuildSetting{{Key: "vcs.modified", Value: "true"}, {Key: "vcs.revision", Value: "0123"}}, "0123-dirty"},
		{"changed but unknown", []debug.BuildSetting{{Key: "vcs.modified", Value: "true"}}, ""},
	} {
		if got := revision(tt.settings); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
