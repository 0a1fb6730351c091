// Package plugins is the list of plugins that this binary can run.
package plugins

import (
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/aipromptdecorator"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/aipromptguard"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/aiprompttemplate"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/aiproxy"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/airequesttransformer"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/airesponsetransformer"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/filelog"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/keyauth"
)

// All lists every plugin this binary can run. Order here means nothing: plugins
// run by the priority that their schema declares.
var All = []plugin.Plugin{
	aipromptdecorator.Plugin,
	aipromptguard.Plugin,
	aiprompttemplate.Plugin,
	aiproxy.Plugin,
	airequesttransformer.Plugin,
	airesponsetransformer.Plugin,
	filelog.Plugin,
	keyauth.Plugin,
}
