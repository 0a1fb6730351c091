package target

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"

	"google.golang.org/protobuf/proto"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm/identity"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// prover makes the proof of identity that one vendor's cloud wants.
type prover struct {
	// wanted says whether a configuration asks for it.
	wanted func(auth *pluginpb.AiAuth) bool
	// part is what of the options says who the gateway is, beside auth.
	part func(options *pluginpb.AiModelOptions) proto.Message
	// open makes the source. calls carries its own calls.
	open func(auth *pluginpb.AiAuth, options *pluginpb.AiModelOptions, calls http.RoundTripper) (identity.Source, error)
}

// provers are the vendors whose clouds want more than a key, by their names in
// configurations.
var provers = map[string]prover{
	"azure": {
		wanted: (*pluginpb.AiAuth).GetAzureUseManagedIdentity,
		part:   func(*pluginpb.AiModelOptions) proto.Message { return nil },
		// As for Kong, the identity is an application's where a secret is configured.
		open: func(auth *pluginpb.AiAuth, _ *pluginpb.AiModelOptions, calls http.RoundTripper) (identity.Source, error) {
			return identity.NewAzure(identity.Azure{
				TenantID: auth.GetAzureTenantId(), ClientID: auth.GetAzureClientId(), ClientSecret: auth.GetAzureClientSecret(),
			}, calls)
		},
	},
	"bedrock": {
		// A key for Bedrock in a header takes the place of a signature.
		wanted: func(auth *pluginpb.AiAuth) bool { return auth.GetHeaderName() == "" },
		part:   func(options *pluginpb.AiModelOptions) proto.Message { return options.GetBedrock() },
		open: func(auth *pluginpb.AiAuth, options *pluginpb.AiModelOptions, calls http.RoundTripper) (identity.Source, error) {
			b := options.GetBedrock()
			return identity.NewAWS(identity.AWS{
				AccessKeyID: auth.GetAwsAccessKeyId(), SecretAccessKey: auth.GetAwsSecretAccessKey(), Region: b.GetAwsRegion(),
				AssumeRoleARN: b.GetAwsAssumeRoleArn(), RoleSessionName: b.GetAwsRoleSessionName(), STSEndpoint: b.GetAwsStsEndpointUrl(),
			}, calls)
		},
	},
	"gemini": {
		wanted: (*pluginpb.AiAuth).GetGcpUseServiceAccount,
		part:   func(*pluginpb.AiModelOptions) proto.Message { return nil },
		open: func(auth *pluginpb.AiAuth, _ *pluginpb.AiModelOptions, calls http.RoundTripper) (identity.Source, error) {
			return identity.NewGCP(identity.GCP{
				ServiceAccountJSON: auth.GetGcpServiceAccountJson(),
				MetadataURL:        auth.GetGcpMetadataUrl(), TokenURL: auth.GetGcpOauthTokenUrl(),
			}, calls)
		},
	},
}

// setProof readies the proof of identity, where one is wanted. A source outlives
// the instance as long as a later one proves the same identity.
func (t *Target) setProof(auth *pluginpb.AiAuth, env plugin.Env) {
	p, ok := provers[t.name]
	if !ok || !p.wanted(auth) {
		return
	}
	name, err := proofName(t.name, auth, p.part(t.options))
	if err == nil {
		t.proof, err = plugin.Keep(env, name, func() (identity.Source, error) {
			return p.open(auth, t.options, env.HTTP)
		})
	}
	if err != nil {
		t.refuse(err)
	}
}

// proofName names a source by all that makes it the same one. It goes into no
// log, and holds no secret all the same.
func proofName(vendor string, messages ...proto.Message) (string, error) {
	hash := sha256.New()
	for _, m := range messages {
		text, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			return "", err
		}
		hash.Write(text) // a hash takes everything
		hash.Write([]byte{0})
	}
	return "identity of " + vendor + " " + hex.EncodeToString(hash.Sum(nil)), nil
}
