package identity

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// AWS says who the gateway is to Amazon Web Services. All of it may be empty.
type AWS struct {
	// AccessKeyID and SecretAccessKey are a key, and SessionToken what belongs to it
	// when it is a temporary one. Without a key the usual places are looked at in
	// the SDK's order: the environment, the shared files, a web identity, the
	// container and the machine.
	AccessKeyID, SecretAccessKey, SessionToken string
	// Region is the region to sign for where the host does not name one; empty:
	// AWS_REGION, then AWS_DEFAULT_REGION.
	Region string
	// AssumeRoleARN is a role to take on with these credentials, RoleSessionName the
	// name of the session, and STSEndpoint the address to ask at.
	AssumeRoleARN, RoleSessionName, STSEndpoint string
	// SigningName is the service to sign for; empty: bedrock.
	SigningName string
}

const (
	// awsAhead is how long before they expire credentials are got anew.
	awsAhead = 5 * time.Minute
	// awsPatience is how long that may take, and awsPause how long a failure is let
	// rest while the old credentials are still good.
	awsPatience = 30 * time.Second
	awsPause    = 15 * time.Second
)

// errAWSRegion is Kong's text.
var errAWSRegion = errors.New("AWS region not specified anywhere")

// errAWSClosed says that a source is used that was closed.
var errAWSClosed = errors.New("source of AWS credentials is closed")

// NewAWS readies a source for AWS, which signs requests. rt carries the calls that
// take on a role; nil: the SDK's way, which the calls to the machine or the
// container always go, since their addresses are closed to others. It makes none
// before the first request. The caller closes the source.
func NewAWS(a AWS, rt http.RoundTripper) (Source, error) {
	s := &awsSource{
		name:   cmp.Or(a.SigningName, "bedrock"),
		region: cmp.Or(a.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION")),
		signer: v4.NewSigner(),
	}
	options := []func(*config.LoadOptions) error{config.WithRegion(cmp.Or(s.region, "us-east-1"))}
	if a.AccessKeyID != "" || a.SecretAccessKey != "" {
		// Half a key is made whole from the environment, as by Kong.
		id := cmp.Or(a.AccessKeyID, os.Getenv("AWS_ACCESS_KEY_ID"))
		secret := cmp.Or(a.SecretAccessKey, os.Getenv("AWS_SECRET_ACCESS_KEY"))
		options = append(options, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(id, secret, a.SessionToken)))
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	cfg, err := config.LoadDefaultConfig(s.ctx, options...)
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("find AWS credentials: %w", err)
	}
	s.provider = cfg.Credentials
	if a.AssumeRoleARN != "" {
		client := sts.NewFromConfig(cfg, func(o *sts.Options) {
			if a.STSEndpoint != "" {
				o.BaseEndpoint = aws.String(a.STSEndpoint)
			}
			if rt != nil {
				o.HTTPClient = &http.Client{Transport: rt}
			}
		})
		s.provider = stscreds.NewAssumeRoleProvider(client, a.AssumeRoleARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = cmp.Or(a.RoleSessionName, "gibbon")
		})
	}
	return s, nil
}

// awsSource signs requests.
type awsSource struct {
	name, region string
	signer       *v4.Signer
	provider     aws.CredentialsProvider
	ctx          context.Context // of the calls for credentials; ends with Close
	stop         context.CancelFunc
	flights      sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	current aws.Credentials
	refresh time.Time  // when to get current anew; zero: there are none, or they last
	flight  *awsFlight // nil: nobody is asking
}

// awsFlight is one call for credentials, which all who need them wait for.
type awsFlight struct {
	done chan struct{} // closed when the fields below are set
	got  aws.Credentials
	err  error
}

// Close ends the calls that are under way and waits for them.
func (s *awsSource) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.flights.Wait()
	return nil
}

// Authorize signs a request as it is: its method, path, query, host, body, the type
// of the body, and what AWS itself put into the header. Other headers may still be
// changed on the way.
func (s *awsSource) Authorize(ctx context.Context, out *Outgoing) error {
	for name := range out.Header {
		const prefix = "x-amz-"
		if len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) || strings.EqualFold(name, "Authorization") {
			delete(out.Header, name)
		}
	}
	region := cmp.Or(awsRegionOf(out.Host), s.region)
	if region == "" {
		return errAWSRegion
	}
	key, err := s.credentials(ctx)
	if err != nil {
		return fmt.Errorf("get AWS credentials: %w", err)
	}
	request := &http.Request{
		Method: out.Method,
		// The opaque form keeps the path as it goes on the wire; the signer escapes it
		// once more, as AWS wants it.
		URL:    &url.URL{Scheme: out.Scheme, Host: out.Host, Opaque: "//" + out.Host + out.Path, RawQuery: out.Query},
		Host:   out.Host,
		Header: make(http.Header),
	}
	if kind := out.Header.Get("Content-Type"); kind != "" {
		out.Header.Set("Content-Type", kind)
		request.Header.Set("Content-Type", kind)
	}
	hash := sha256.Sum256(out.Body)
	if err := s.signer.SignHTTP(ctx, key, request, hex.EncodeToString(hash[:]), s.name, region, time.Now()); err != nil {
		return fmt.Errorf("sign for AWS: %w", err)
	}
	for _, name := range []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token"} {
		if value := request.Header.Get(name); value != "" {
			out.Header.Set(name, value)
		}
	}
	return nil
}

// awsRegionOf is the region that a host of AWS names: service.region.amazonaws.com.
func awsRegionOf(host string) string {
	name, _, _ := strings.Cut(host, ":")
	name, own := strings.CutSuffix(strings.TrimSuffix(name, ".cn"), ".amazonaws.com")
	if !own {
		return ""
	}
	return name[strings.LastIndexByte(name, '.')+1:]
}

// credentials gives credentials that are good now. They are got anew some time
// before they expire, by one call however many ask; until it is over, and should
// it fail, the old ones serve on.
func (s *awsSource) credentials(ctx context.Context) (aws.Credentials, error) {
	s.mu.Lock()
	now := time.Now()
	good := s.current.HasKeys() && (!s.current.CanExpire || now.Before(s.current.Expires))
	if s.closed {
		s.mu.Unlock()
		return aws.Credentials{}, errAWSClosed
	}
	if s.flight == nil && (!good || !s.refresh.IsZero() && !now.Before(s.refresh)) {
		flight := &awsFlight{done: make(chan struct{})}
		s.flight = flight
		s.flights.Go(func() { s.fly(flight) })
	}
	flight, current := s.flight, s.current
	s.mu.Unlock()
	if good {
		return current, nil
	}
	select {
	case <-flight.done:
		return flight.got, flight.err
	case <-ctx.Done():
		return aws.Credentials{}, ctx.Err()
	}
}

// fly gets credentials.
func (s *awsSource) fly(flight *awsFlight) {
	ctx, cancel := context.WithTimeout(s.ctx, awsPatience)
	defer cancel()
	if cache, ok := s.provider.(*aws.CredentialsCache); ok {
		// The SDK would give what it has until the last moment.
		cache.Invalidate()
	}
	got, err := s.provider.Retrieve(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	flight.got, flight.err = got, err
	now := time.Now()
	switch {
	case err != nil:
		s.refresh = now.Add(awsPause)
	case got.CanExpire:
		s.current = got
		s.refresh = got.Expires.Add(-min(awsAhead, got.Expires.Sub(now)/2))
	default:
		s.current, s.refresh = got, time.Time{}
	}
	s.flight = nil
	close(flight.done)
}
