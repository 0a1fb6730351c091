// Package buildinfo says which program this is: its own version, and the version
// of Kong whose interface it speaks.
package buildinfo

import (
	"runtime/debug"
	"strings"
)

// KongVersion is the version of Kong that Gibbon claims to Kong's clients. They
// choose by it which fields and paths to use.
const KongVersion = "3.8.1"

// version is Gibbon's own. A release build sets it with
// -ldflags "-X github.com/gibbon-gateway/gibbon/internal/buildinfo.version=1.2.3".
var version = "0.1.0"

// Version returns Gibbon's own version, such as 0.1.0.
func Version() string { return strings.TrimPrefix(version, "v") }

// Revision returns the commit this binary was built from, shortened to twelve
// digits and with "-dirty" behind it when files had changed, or "" when the
// build knew of none.
func Revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	return revision(info.Settings)
}

func revision(settings []debug.BuildSetting) string {
	rev, dirty := "", ""
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision":
			rev = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if rev == "" {
		return ""
	}
	return rev + dirty
}

// ServerToken is the product token of the Server header. It names Kong, since
// clients read the version from it.
const ServerToken = "kong/" + KongVersion

// Via returns the entry for the Via header of a message received with this
// version of HTTP: "1.1", "1.0", "2".
func Via(httpVersion string) string { return httpVersion + " " + ServerToken }

// UserAgent is how Gibbon names itself on connections of its own.
func UserAgent() string { return "gibbon/" + Version() }
