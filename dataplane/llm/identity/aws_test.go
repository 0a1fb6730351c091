package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// awsAlone keeps the machine's own credentials out of a test.
func awsAlone(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
	} {
		t.Setenv(name, "")
	}
	none := t.TempDir() + "/none"
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func awsOutgoing(path string) *Outgoing {
	return &Outgoing{
		Method: "POST", Scheme: "https", Host: "bedrock-runtime.eu-west-1.amazonaws.com", Path: path,
		Header: http.Header{"Content-Type": {"application/json"}, "User-Agent": {"x"}, "Accept-Encoding": {"gzip"}}, Body: []byte(`{"a":1}`),
	}
}

// awsVerify makes the signature of a request that was sent from scratch, by the
// public rules of Signature Version 4, and compares.
func awsVerify(t *testing.T, out *Outgoing, id, secret, service string) {
	t.Helper()
	rest, ok := strings.CutPrefix(out.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	if !ok {
		t.Fatalf("Authorization %q", out.Header.Get("Authorization"))
	}
	fields := make(map[string]string)
	for part := range strings.SplitSeq(rest, ", ") {
		name, value, _ := strings.Cut(part, "=")
		fields[name] = value
	}
	date := out.Header.Get("X-Amz-Date")
	scope := date[:8] + "/eu-west-1/" + service + "/aws4_request"
	if fields["Credential"] != id+"/"+scope {
		t.Errorf("credential %s, want %s/%s", fields["Credential"], id, scope)
	}
	signed := strings.Split(fields["SignedHeaders"], ";")
	if !slices.IsSorted(signed) {
		t.Errorf("signed headers %v", signed)
	}
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:])
	}
	escape := func(text string, slashes bool) string {
		var b strings.Builder
		for _, c := range []byte(text) {
			if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 || c == '/' && !slashes {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
		return b.String()
	}
	values, err := url.ParseQuery(out.Query)
	if err != nil {
		t.Fatal(err)
	}
	var query []string
	for name, list := range values {
		for _, value := range list {
			query = append(query, escape(name, true)+"="+escape(value, true))
		}
	}
	slices.Sort(query)
	var headers strings.Builder
	for _, name := range signed {
		value := out.Header.Get(name)
		if name == "host" {
			value = out.Host
		}
		fmt.Fprintf(&headers, "%s:%s\n", name, strings.TrimSpace(value))
	}
	// The path is escaped on the wire, and once more here.
	canonical := strings.Join([]string{out.Method, escape(out.Path, false), strings.Join(query, "&"), headers.String(), fields["SignedHeaders"], hash(string(out.Body))}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range strings.Split(scope, "/") {
		key = awsMAC(key, part)
	}
	want := hex.EncodeToString(awsMAC(key, "AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+hash(canonical)))
	if fields["Signature"] != want {
		t.Errorf("signature %s, want %s, of\n%s", fields["Signature"], want, canonical)
	}
}

func awsMAC(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func awsNew(t *testing.T, a AWS, rt http.RoundTripper) Source {
	t.Helper()
	source, err := NewAWS(a, rt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	})
	return source
}

func TestAWSSignature(t *testing.T) {
	awsAlone(t)
	source := awsNew(t, AWS{AccessKeyID: "AKID", SecretAccessKey: "secret/key", SessionToken: "token"}, nil)
	for _, path := range []string{
		"/model/m/converse",
		"/model/anthropic.claude-3%3A0/converse-stream",
		"/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Fx%20y/invoke",
	} {
		out := awsOutgoing(path)
		out.Query = "b=2&a=x%20y&a=1"
		out.Header["Authorization"] = []string{"Bearer forged"}
		out.Header["x-amz-target"] = []string{"forged"}
		out.Header["X-Amz-Security-Token"] = []string{"forged"}
		out.Header["X-Amz-Date"] = []string{"20000101T000000Z"}
		if err := source.Authorize(context.Background(), out); err != nil {
			t.Fatal(err)
		}
		awsVerify(t, out, "AKID", "secret/key", "bedrock")
		if got := out.Header.Get("X-Amz-Security-Token"); got != "token" {
			t.Errorf("token %q", got)
		}
		// Spelled as no client that goes by net/http spells it.
		forged := out.Header[strings.ToLower("X-Amz-Target")]
		if strings.HasPrefix(out.Header.Get("X-Amz-Date"), "2000") || len(forged) > 0 {
			t.Errorf("what the caller forged is left: %v", out.Header)
		}
		const want = "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token,"
		if got := out.Header.Get("Authorization"); !strings.Contains(got, want) {
			t.Errorf("signed are other headers than those that stay: %s", got)
		}
	}
}

func TestAWSKnownSignature(t *testing.T) {
	// The verifier itself, with the example key of AWS's own documentation.
	key := []byte("AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
	for _, part := range []string{"20150830", "us-east-1", "iam", "aws4_request"} {
		key = awsMAC(key, part)
	}
	if got := hex.EncodeToString(key); got != "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9" {
		t.Errorf("signing key %s", got)
	}
}

func TestAWSNames(t *testing.T) {
	awsAlone(t)
	t.Setenv("AWS_REGION", "eu-west-1")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s")
	source := awsNew(t, AWS{AccessKeyID: "half", SigningName: "other"}, nil)
	out := awsOutgoing("/x")
	out.Host = "gateway.test:8443"
	out.Header.Del("Content-Type")
	out.Body = nil
	if err := source.Authorize(context.Background(), out); err != nil {
		t.Fatal(err)
	}
	awsVerify(t, out, "half", "s", "other")
	t.Setenv("AWS_REGION", "")
	out = awsOutgoing("/x")
	out.Host = "gateway.test"
	if err := awsNew(t, AWS{AccessKeyID: "a", SecretAccessKey: "b"}, nil).Authorize(context.Background(), out); err == nil || err.Error() != "AWS region not specified anywhere" {
		t.Errorf("no region: %v", err)
	}
	for host, want := range map[string]string{
		"bedrock-runtime.eu-west-1.amazonaws.com": "eu-west-1", "bedrock.cn-north-1.amazonaws.com.cn:443": "cn-north-1",
		"bedrock-runtime.eu-west-1.amazonaws.com.evil.test": "", "localhost:1": "",
	} {
		if got := awsRegionOf(host); got != want {
			t.Errorf("region of %s: %q, want %q", host, got, want)
		}
	}
}

func TestAWSEnvironment(t *testing.T) {
	awsAlone(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "env")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "envsecret")
	out := awsOutgoing("/x")
	if err := awsNew(t, AWS{}, nil).Authorize(context.Background(), out); err != nil {
		t.Fatal(err)
	}
	awsVerify(t, out, "env", "envsecret", "bedrock")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	if err := awsNew(t, AWS{}, nil).Authorize(context.Background(), awsOutgoing("/x")); err == nil {
		t.Error("no credentials anywhere are enough")
	}
}

// awsSTS gives out roles, each with a key of its own that lasts an hour.
type awsSTS struct {
	mu    sync.Mutex
	forms []url.Values
	hosts []string
	fail  bool
	delay time.Duration
}

func (s *awsSTS) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(s.delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	s.forms, s.hosts = append(s.forms, form), append(s.hosts, r.URL.Host)
	status, text := 200, fmt.Sprintf(`<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>`+
		`<AccessKeyId>ROLE%d</AccessKeyId><SecretAccessKey>rolesecret</SecretAccessKey><SessionToken>roletoken</SessionToken><Expiration>%s</Expiration>`+
		`</Credentials></AssumeRoleResult></AssumeRoleResponse>`, len(s.forms), time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	if s.fail {
		status, text = 403, `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>`
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"text/xml"}}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
}

func (s *awsSTS) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.forms)
}

// TestAWSRole takes on a role, keeps it until shortly before it expires, and gets it
// anew by one call while the old one serves on.
func TestAWSRole(t *testing.T) {
	awsAlone(t)
	synctest.Test(t, func(t *testing.T) {
		calls := &awsSTS{delay: time.Second}
		source := awsNew(t, AWS{AccessKeyID: "AKID", SecretAccessKey: "topsecret", AssumeRoleARN: "arn:aws:iam::1:role/r", RoleSessionName: "me", STSEndpoint: "https://sts.test"}, calls)
		ask := func() (id string) {
			out := awsOutgoing("/model/m%3A0/converse")
			if err := source.Authorize(t.Context(), out); err != nil {
				t.Fatal(err)
			}
			_, rest, _ := strings.Cut(out.Header.Get("Authorization"), "Credential=")
			id, _, _ = strings.Cut(rest, "/")
			awsVerify(t, out, id, "rolesecret", "bedrock")
			if out.Header.Get("X-Amz-Security-Token") != "roletoken" {
				t.Error("the token of the role is missing")
			}
			return id
		}
		var many sync.WaitGroup
		for range 20 {
			many.Go(func() { ask() })
		}
		many.Wait()
		if calls.calls() != 1 || calls.hosts[0] != "sts.test" || calls.forms[0].Get("RoleArn") != "arn:aws:iam::1:role/r" || calls.forms[0].Get("RoleSessionName") != "me" {
			t.Errorf("calls %v to %v", calls.forms, calls.hosts)
		}
		time.Sleep(54 * time.Minute)
		if id := ask(); id != "ROLE1" || calls.calls() != 1 {
			t.Errorf("before the time: %s, %d calls", id, calls.calls())
		}
		time.Sleep(2 * time.Minute)
		for range 5 {
			if id := ask(); id != "ROLE1" {
				t.Errorf("while the new key is asked for: %s", id)
			}
		}
		time.Sleep(2 * time.Second)
		if id := ask(); id != "ROLE2" || calls.calls() != 2 {
			t.Errorf("after the time: %s, %d calls", id, calls.calls())
		}
		// A failure does not show before the old key has expired.
		calls.fail = true
		time.Sleep(56 * time.Minute)
		ask()
		time.Sleep(time.Minute)
		if id := ask(); id != "ROLE2" {
			t.Errorf("after a failure: %s", id)
		}
		time.Sleep(time.Hour)
		err := source.Authorize(t.Context(), awsOutgoing("/x"))
		if err == nil || !strings.Contains(err.Error(), "AccessDenied") || strings.Contains(err.Error(), "topsecret") || strings.Contains(err.Error(), "roletoken") {
			t.Errorf("error %v", err)
		}
	})
}

// TestAWSClose ends the calls that are under way.
func TestAWSClose(t *testing.T) {
	awsAlone(t)
	synctest.Test(t, func(t *testing.T) {
		source := awsNew(t, AWS{AccessKeyID: "a", SecretAccessKey: "b", AssumeRoleARN: "arn:aws:iam::1:role/r", STSEndpoint: "https://sts.test"}, &awsSTS{delay: 20 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := source.Authorize(ctx, awsOutgoing("/x")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("caller gone: %v", err)
		}
		began := time.Now()
		if err := source.Close(); err != nil || time.Since(began) > 0 {
			t.Errorf("Close took %v, %v", time.Since(began), err)
		}
		if err := source.Authorize(t.Context(), awsOutgoing("/x")); err == nil {
			t.Error("a closed source signs")
		}
	})
}
