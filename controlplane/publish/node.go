package publish

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
)

// SyncStatus is Kong's word for whether a data plane can take the configuration.
type SyncStatus string

// The words that Kong's clients know.
const (
	StatusUnknown             SyncStatus = "unknown"
	StatusNormal              SyncStatus = "normal"
	StatusVersionIncompatible SyncStatus = "kong_version_incompatible"
	StatusPluginMissing       SyncStatus = "plugin_set_incompatible"
	StatusPluginIncompatible  SyncStatus = "plugin_version_incompatible"
)

// Node is what a control plane knows of a data plane.
type Node struct {
	ID       string
	Hostname string
	IP       string
	// Version is the Kong version that the node claims.
	Version       string
	GibbonVersion string
	Labels        map[string]string
	Status        SyncStatus
	// Applied is what the node said that it serves; its zero value: nothing yet.
	Applied Position
	// Refused is the newest version that the node could not apply or could not
	// be given, and Reasons or Message say why. Refused and Reasons are cleared by
	// the next version that it applies.
	Refused Position
	Reasons []Reason
	// Message says why the node cannot take the configuration, when Status is
	// not normal.
	Message   string
	Connected bool
	// TakesLogLevel says that the node can be asked for its log level.
	TakesLogLevel bool
	// FirstSeen and LastSeen are when the node was heard of.
	FirstSeen, LastSeen time.Time
	// CertificateExpiry is zero without TLS.
	CertificateExpiry time.Time
}

// Reason is one thing that a data plane could not apply.
type Reason struct {
	Kind, ID, Name, Field, Message string
}

// String says it in one line.
func (r Reason) String() string {
	var b strings.Builder
	for _, part := range []string{r.Kind, r.Name, r.ID, r.Field} {
		if part != "" {
			b.WriteString(part)
			b.WriteByte(' ')
		}
	}
	if b.Len() == 0 {
		return r.Message
	}
	return strings.TrimSuffix(b.String(), " ") + ": " + r.Message
}

// node is a Node with its live stream.
type node struct {
	Node
	nonce string   // of the process that holds the stream
	live  *session // nil when it is not connected
}

// settled says whether the node has applied or refused the version or a later
// one of the epoch.
func (n *node) settled(epoch string, version uint64) bool {
	return n.Applied.Epoch == epoch && n.Applied.Version >= version ||
		n.Refused.Epoch == epoch && n.Refused.Version >= version
}

// Limits on what a node may call itself: its strings are shown to operators and
// stand in log lines.
const (
	maxText   = 256
	maxLabels = 10
	maxNames  = 1024
)

// checkHello refuses what no honest data plane says.
func checkHello(h *clusterpb.Hello) error {
	if h == nil {
		return errors.New("the first message must be a hello")
	}
	if _, err := uuid.Parse(h.GetNodeId()); err != nil || len(h.GetNodeId()) != 36 {
		return errors.New("node_id must be a valid UUID")
	}
	if h.GetBootNonce() == "" {
		return errors.New("boot_nonce is missing")
	}
	if len(h.GetLabels()) > maxLabels {
		return fmt.Errorf("%d labels, the limit is %d", len(h.GetLabels()), maxLabels)
	}
	if n := max(len(h.GetPlugins()), len(h.GetCapabilities())); n > maxNames {
		return fmt.Errorf("%d plugins or capabilities, the limit is %d", n, maxNames)
	}
	if err := checkPosition("held", h.GetHeld()); err != nil {
		return err
	}
	type text struct{ name, text string }
	texts := []text{
		{"boot_nonce", h.GetBootNonce()},
		{"hostname", h.GetHostname()},
		{"version", h.GetVersion()},
		{"gibbon_version", h.GetGibbonVersion()},
	}
	for name, value := range h.GetLabels() {
		texts = append(texts, text{"a label's name", name}, text{"a label", value})
	}
	for _, p := range h.GetPlugins() {
		texts = append(texts, text{"a plugin's name", p.GetName()}, text{"a plugin's version", p.GetVersion()})
	}
	for _, c := range h.GetCapabilities() {
		texts = append(texts, text{"a capability", c})
	}
	for _, t := range texts {
		if err := checkText(t.name, t.text); err != nil {
			return err
		}
	}
	return nil
}

func checkText(name, text string) error {
	if len(text) > maxText {
		return fmt.Errorf("%s has %d bytes, the limit is %d", name, len(text), maxText)
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return fmt.Errorf("%s has a control character", name)
	}
	return nil
}

// checkPosition lets an absent position pass.
func checkPosition(name string, p *clusterpb.Position) error {
	if p != nil && len(p.GetHash()) != sha256.Size {
		return fmt.Errorf("%s.hash has %d bytes, not %d", name, len(p.GetHash()), sha256.Size)
	}
	return checkText(name+".epoch", p.GetEpoch())
}

// compatible judges a data plane as Kong does: majors must agree, and neither
// the node nor one of its plugins may be newer than what the control plane has.
func (s *Server) compatible(h *clusterpb.Hello) (SyncStatus, string) {
	if h.GetProtocolMin() > Protocol || h.GetProtocolMax() < Protocol {
		return StatusVersionIncompatible, fmt.Sprintf("the data plane speaks protocol %d to %d, this control plane %d",
			h.GetProtocolMin(), h.GetProtocolMax(), Protocol)
	}
	if s.cfg.Version != "" {
		ours, theirs := majorMinor(s.cfg.Version), majorMinor(h.GetVersion())
		switch {
		case ours == nil:
			return StatusVersionIncompatible, fmt.Sprintf("control plane version %q is not a version", s.cfg.Version)
		case theirs == nil:
			return StatusVersionIncompatible, fmt.Sprintf("data plane version %q is not a version", h.GetVersion())
		case theirs[0] != ours[0]:
			return StatusVersionIncompatible, fmt.Sprintf("data plane version %s is incompatible with control plane version %s",
				h.GetVersion(), s.cfg.Version)
		case theirs[1] > ours[1]:
			return StatusVersionIncompatible, fmt.Sprintf("data plane version %s is incompatible with older control plane version %s",
				h.GetVersion(), s.cfg.Version)
		}
	}
	for _, p := range h.GetPlugins() {
		ours, theirs := majorMinor(s.cfg.Plugins[p.GetName()]), majorMinor(p.GetVersion())
		if ours == nil || theirs == nil {
			continue // a plugin of the node's own does no harm
		}
		if theirs[0] != ours[0] || theirs[1] > ours[1] {
			return StatusPluginIncompatible, fmt.Sprintf("plugin %s %s of the data plane is incompatible with the control plane's %s",
				p.GetName(), p.GetVersion(), s.cfg.Plugins[p.GetName()])
		}
	}
	return StatusNormal, ""
}

// lacks names the first plugin that the edition configures and the node lacks.
func (s *Server) lacks(e *edition, h *clusterpb.Hello) string {
	for _, name := range e.plugins {
		if !slices.ContainsFunc(h.GetPlugins(), func(p *clusterpb.PluginVersion) bool { return p.GetName() == name }) {
			return fmt.Sprintf("configured %s plugin %s is missing from data plane", name, s.cfg.Plugins[name])
		}
	}
	return ""
}

// majorMinor reads the first two numbers of a version; nil when it has none.
func majorMinor(version string) []int {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return nil
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil {
		return nil
	}
	return []int{major, minor}
}

// ipOf is the address without the port; an address without one stays as it is.
func ipOf(addr net.Addr) string {
	if addr == nil {
		return ""
	}
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	return host
}

func expiryOf(state *tls.ConnectionState) time.Time {
	if state == nil || len(state.PeerCertificates) == 0 {
		return time.Time{}
	}
	return state.PeerCertificates[0].NotAfter
}

func positionOf(p *clusterpb.Position) Position {
	if p == nil {
		return Position{}
	}
	return Position{Epoch: p.GetEpoch(), Version: p.GetVersion(), Hash: hex.EncodeToString(p.GetHash())}
}

// Bounds on the reasons that are kept of one refusal.
const (
	maxReasons     = 100
	maxReasonBytes = 64 << 10
)

// reasonsOf takes over what a data plane gave as reasons, cut to the bounds.
func reasonsOf(m *clusterpb.Nack) []Reason {
	var list []Reason
	budget := maxReasonBytes
	cut := func(text string) string {
		if len(text) > budget {
			text = strings.ToValidUTF8(text[:budget], "")
			budget = 0
			return text
		}
		budget -= len(text)
		return text
	}
	for _, r := range m.GetReasons() {
		if len(list) == maxReasons || budget == 0 {
			break
		}
		list = append(list, Reason{
			Kind: cut(r.GetEntityKind()), ID: cut(r.GetEntityId()), Name: cut(r.GetEntityName()),
			Field: cut(r.GetField()), Message: cut(r.GetMessage()),
		})
	}
	if list == nil {
		list = []Reason{{Message: "refused without a reason"}}
	}
	return list
}
