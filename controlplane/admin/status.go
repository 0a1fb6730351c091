package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"

	"github.com/gibbon-gateway/gibbon/schema"
)

// pingTime is how long GET /status waits for the database.
const pingTime = 4 * time.Second

// maxScale bounds the digits behind the point.
const maxScale = 10

// sizeFormat is how GET /status writes sizes in memory.
type sizeFormat struct {
	unit  byte // b, k, m or g
	scale int
}

// Status implements adminpb.NodeServer. It is answered when the database is
// away, which is then what it says.
func (n *node) Status(ctx context.Context, in *adminpb.StatusRequest) (*adminpb.DocumentResponse, error) {
	unit, scale := in.GetUnit(), ""
	if in.Scale != nil {
		scale = strconv.Itoa(int(in.GetScale()))
	}
	if c := carried(ctx); c != nil {
		unit, _ = last(c.query, "unit")
		scale, _ = last(c.query, "scale")
	}
	body, err := n.server.status(ctx, unit, scale)
	if err != nil {
		return nil, err
	}
	d, err := fromJSON(body)
	if err != nil {
		return nil, fmt.Errorf("describe the status: %w", err)
	}
	return documentAnswer(ctx, d)
}

// StatusBody is what GET /status answers to the arguments of a query, by member,
// for a listener that asks nobody who they are. An *Error says what is wrong with
// the arguments.
func (s *Server) StatusBody(ctx context.Context, query url.Values) (map[string]any, error) {
	unit, _ := last(query, "unit")
	scale, _ := last(query, "scale")
	body, err := s.status(ctx, unit, scale)
	if err != nil {
		return nil, err
	}
	members := make(map[string]any, len(body))
	for _, m := range body {
		members[m.name] = m.value
	}
	return members, nil
}

// status describes the node, with sizes in a unit and with so many digits; empty
// texts are Kong's defaults.
func (s *Server) status(ctx context.Context, unit, scale string) (object, error) {
	f, err := sizeFormatOf(unit, scale)
	if err != nil {
		return nil, err
	}
	c := s.traffic.counts()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	// The two names are those that Kong's clients look for. Gibbon keeps no such
	// caches: what it holds is the heap.
	dict := func(used, capacity uint64) object {
		return object{{"allocated_slabs", f.size(used)}, {"capacity", f.size(capacity)}}
	}
	body := object{
		{"server", object{
			{"connections_accepted", c.accepted}, {"connections_active", c.active},
			{"connections_handled", c.handled}, {"connections_reading", c.reading},
			{"connections_writing", c.writing}, {"connections_waiting", c.waiting},
			{"total_requests", c.requests},
		}},
		{"memory", object{
			{"lua_shared_dicts", object{
				{"kong", dict(0, 0)},
				{"kong_db_cache", dict(mem.HeapInuse, mem.HeapSys)},
			}},
			{"workers_lua_vms", []object{{{"pid", os.Getpid()}, {"http_allocated_gc", f.size(mem.HeapAlloc)}}}},
		}},
	}
	if !s.withoutDatabase() {
		ctx2, cancel := context.WithTimeout(ctx, pingTime)
		defer cancel()
		reachable := s.cfg.Store.Ping(ctx2) == nil
		body = append(body, member{"database", object{{"reachable", reachable}}})
	}
	if s.cfg.ConfigurationHash != nil {
		body = append(body, member{"configuration_hash", shortHash(s.cfg.ConfigurationHash())})
	}
	return body, nil
}

// NoDNSStatus is what GET /status/dns says, on the status listener too.
const NoDNSStatus = "not implemented with the legacy DNS client"

// DNSStatus implements adminpb.NodeServer.
func (n *node) DNSStatus(context.Context, *adminpb.DNSStatusRequest) (*adminpb.DocumentResponse, error) {
	return nil, plain(http.StatusNotImplemented, NoDNSStatus)
}

// sizeFormatOf reads the arguments unit and scale.
func sizeFormatOf(unit, scale string) (sizeFormat, error) {
	f := sizeFormat{'m', 2}
	if unit != "" {
		f.unit = strings.ToLower(unit)[0]
		if len(unit) != 1 || !strings.ContainsRune("bkmg", rune(f.unit)) {
			return f, badRequest(fmt.Sprintf("invalid unit '%s' (expected 'k/K', 'm/M', or 'g/G')", unit))
		}
	}
	if scale != "" {
		digits, err := strconv.Atoi(scale)
		if err != nil {
			digits = 2 // what is no number counts as not given
		}
		if digits < 0 {
			return f, badRequest("scale must be equal or greater than 0")
		}
		f.scale = min(digits, maxScale)
	}
	return f, nil
}

// size writes a number of bytes: as a text with its unit, or as a number of
// bytes when that is the unit.
func (f sizeFormat) size(bytes uint64) any {
	divisor, name := float64(1), ""
	switch f.unit {
	case 'b':
		return bytes
	case 'k':
		divisor, name = 1<<10, "KiB"
	case 'm':
		divisor, name = 1<<20, "MiB"
	case 'g':
		divisor, name = 1<<30, "GiB"
	}
	return strconv.FormatFloat(float64(bytes)/divisor, 'f', f.scale, 64) + " " + name
}

// noHash is what stands for no configuration yet.
var noHash = strings.Repeat("0", 32)

// shortHash is a digest in the length that Kong's clients check.
func shortHash(hash string) string {
	if len(hash) < len(noHash) {
		return noHash
	}
	return hash[:len(noHash)]
}

// DataPlanes implements adminpb.NodeServer.
func (n *node) DataPlanes(ctx context.Context, in *adminpb.DataPlanesRequest) (*adminpb.ListResponse, error) {
	cfg := &n.server.cfg
	if cfg.DataPlanes == nil {
		return nil, errNoControlPlane()
	}
	c := carried(ctx)
	size, err := pageSize(c, in.GetSize())
	if err != nil {
		return nil, err
	}
	after, err := parseToken(text(c, "offset", in.GetOffset()), 1)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var data []schema.Document
	next, lastID := "", ""
	for _, dp := range cfg.DataPlanes() {
		if dp.ID <= after[0] {
			continue
		}
		if len(data) == size {
			next = token(lastID)
			break
		}
		d, err := fromJSON(dp.row(now, cfg.PurgeDelay))
		if err != nil {
			return nil, fmt.Errorf("describe data plane %s: %w", dp.ID, err)
		}
		data, lastID = append(data, d), dp.ID
	}
	return listAnswer(c, data, next, "tags", "size")
}

// row is the data plane in Kong's words, with Gibbon's own behind them.
func (dp *DataPlane) row(now time.Time, purge time.Duration) object {
	labels, expiry, refused, calls := any(nil), any(nil), any(nil), any(nil)
	if dp.Connected && dp.TakesLogLevel {
		calls = []string{logLevelRPC}
	}
	if len(dp.Labels) > 0 {
		labels = dp.Labels
	}
	if dp.Message != "" {
		refused = dp.Message
	}
	if !dp.CertificateExpiry.IsZero() {
		expiry = object{{"expiry_timestamp", dp.CertificateExpiry.Unix()}}
	}
	return object{
		{"id", dp.ID},
		{"ip", dp.IP},
		{"hostname", dp.Hostname},
		{"version", dp.Version},
		{"sync_status", dp.SyncStatus},
		{"config_hash", shortHash(dp.Hash)},
		{"last_seen", dp.LastSeen.Unix()},
		{"updated_at", dp.LastSeen.Unix()},
		{"labels", labels},
		{"cert_details", expiry},
		{"rpc_capabilities", calls},
		{"ttl", int64(max(0, purge-now.Sub(dp.LastSeen)).Seconds())},
		{"gibbon_version", dp.GibbonVersion},
		{"connected", dp.Connected},
		{"config_error", refused},
		{"config_epoch", dp.Epoch},
		{"config_version", dp.Applied},
		{"config_digest", dp.Hash},
	}
}

// ClusterStatus implements adminpb.NodeServer.
func (n *node) ClusterStatus(ctx context.Context, _ *adminpb.ClusterStatusRequest) (*adminpb.DocumentResponse, error) {
	cfg := &n.server.cfg
	if cfg.DataPlanes == nil {
		return nil, errNoControlPlane()
	}
	if c := carried(ctx); c != nil {
		c.deprecated = true
	}
	body := object{}
	for _, dp := range cfg.DataPlanes() {
		body = append(body, member{dp.ID, object{
			{"config_hash", shortHash(dp.Hash)}, {"hostname", dp.Hostname}, {"ip", dp.IP}, {"last_seen", dp.LastSeen.Unix()},
		}})
	}
	d, err := fromJSON(body)
	if err != nil {
		return nil, fmt.Errorf("describe the data planes: %w", err)
	}
	return documentAnswer(ctx, d)
}
