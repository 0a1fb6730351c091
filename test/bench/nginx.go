package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/template"
	"time"
)

// upstreams are the provider's stand-ins and the yardstick in front of them,
// each as host:port.
type upstreams struct {
	mock       string // one answer to all, from nginx
	streams    string // events, from this process
	raw        string // nginx that passes on to mock
	rawStreams string // the same nginx, passing on to streams without buffering

	rawProcess *process
	events     *streamMock
}

// What the mock answers, by path; anything else is answered as the first.
const (
	chatPath   = "/v1/chat/completions" // 2 KB
	briefPath  = "/v1/brief"            // 1 KB
	claudePath = "/v1/messages"         // 1 KB in Anthropic's format
)

// nginxHead is what both configurations begin with. All temporary files have a
// folder of their own, and the buffers are such that none is written: a body
// on the disk would measure the disk.
const nginxHead = `daemon off;
worker_processes {{.Workers}};
worker_rlimit_nofile 20000;
pid {{.Folder}}/nginx.pid;
error_log {{.Folder}}/error.log warn;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path {{.Folder}}/body;
  proxy_temp_path {{.Folder}}/proxy;
  fastcgi_temp_path {{.Folder}}/fastcgi;
  uwsgi_temp_path {{.Folder}}/uwsgi;
  scgi_temp_path {{.Folder}}/scgi;
  client_body_buffer_size 256k;
  client_max_body_size 10m;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
`

var mockConfig = template.Must(template.New("mock").Parse(nginxHead + `
  server {
    listen {{.Listen}};
    location {{.BriefPath}} { default_type application/json; return 200 '{{.Brief}}'; }
    location {{.ClaudePath}} { default_type application/json; return 200 '{{.Claude}}'; }
    location / {
      default_type application/json;
      add_header x-request-id req_0123456789abcdef;
      add_header openai-organization bench;
      add_header openai-processing-ms 12;
      add_header openai-version 2020-10-01;
      add_header x-ratelimit-limit-requests 10000;
      add_header x-ratelimit-remaining-requests 9999;
      add_header x-ratelimit-reset-requests 6ms;
      return 200 '{{.Answer}}';
    }
  }
}
`))

var rawConfig = template.Must(template.New("raw").Parse(nginxHead + `
  upstream mock { server {{.Mock}}; keepalive 512; keepalive_requests 1000000000; }
  upstream streams { server {{.Streams}}; keepalive 512; keepalive_requests 1000000000; }
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_read_timeout 120s;
  server {
    listen {{.Listen}};
    location / { proxy_pass http://mock; }
  }
  server {
    listen {{.ListenStreams}};
    location / { proxy_pass http://streams; proxy_buffering off; }
  }
}
`))

// nginxText writes a text between single quotes of nginx's configuration.
// A parameter there may have 4 KB, and a $ would start a variable.
func nginxText(text []byte) (string, error) {
	escaped := strings.ReplaceAll(string(text), `\`, `\\`)
	if strings.ContainsAny(escaped, "$'") || len(escaped) > 4000 {
		return "", fmt.Errorf("no text for nginx, %d bytes: %q", len(escaped), escaped)
	}
	return escaped, nil
}

// startNginx starts an nginx whose configuration is the template's, in a
// folder of its own.
func (l *lab) startNginx(ctx context.Context, name string, config *template.Template, values map[string]any) (*process, error) {
	folder := filepath.Join(l.folder, name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	values["Folder"] = folder
	var text bytes.Buffer
	if err := config.Execute(&text, values); err != nil {
		return nil, err
	}
	path := filepath.Join(folder, "nginx.conf")
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
		return nil, err
	}
	p, err := l.start(name, os.Environ(), l.nginx, "-p", folder, "-c", path)
	if err != nil {
		return nil, err
	}
	if _, err := p.ready(ctx, 5*time.Millisecond, accepts(values["Listen"].(string))); err != nil {
		return nil, err
	}
	return p, nil
}

// startUpstreams starts the mocks and the yardstick.
func (l *lab) startUpstreams(ctx context.Context) (*upstreams, error) {
	addresses, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	up := &upstreams{mock: addresses[0], raw: addresses[1], rawStreams: addresses[2]}

	answer, err := responseBody(answerSentences)
	if err != nil {
		return nil, err
	}
	values := map[string]any{"Workers": 1, "Listen": up.mock, "BriefPath": briefPath, "ClaudePath": claudePath}
	for name, body := range map[string]func() ([]byte, error){
		"Answer": func() ([]byte, error) { return answer, nil },
		"Brief":  func() ([]byte, error) { return responseBody(briefSentences) },
		"Claude": claudeBody,
	} {
		text, err := body()
		if err != nil {
			return nil, err
		}
		if values[name], err = nginxText(text); err != nil {
			return nil, err
		}
	}
	if _, err := l.startNginx(ctx, "nginx-mock", mockConfig, values); err != nil {
		return nil, err
	}
	if up.events, err = startStreamMock(); err != nil {
		return nil, err
	}
	l.closers = append(l.closers, up.events.close)
	up.streams = up.events.address
	if err := l.startRaw(ctx, up); err != nil {
		return nil, err
	}

	// The mock's answer has to come through as it is.
	client := newClient()
	defer client.CloseIdleConnections()
	body, err := requestBody(small, false)
	if err != nil {
		return nil, err
	}
	for _, address := range []string{up.mock, up.raw} {
		status, _, got, err := fetch(ctx, client, http.MethodPost, "http://"+address+chatPath, nil, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		if status != http.StatusOK || !bytes.Equal(got, answer) {
			return nil, fmt.Errorf("nginx at %s answers %d %q, want 200 %q", address, status, got, answer)
		}
	}
	return up, nil
}

// startRaw starts the yardstick.
func (l *lab) startRaw(ctx context.Context, up *upstreams) (err error) {
	up.rawProcess, err = l.startNginx(ctx, "nginx-raw", rawConfig, map[string]any{
		"Workers": runtime.NumCPU(), "Listen": up.raw, "ListenStreams": up.rawStreams,
		"Mock": up.mock, "Streams": up.streams,
	})
	return err
}

// restartRaw gives the yardstick fresh memory.
func (l *lab) restartRaw(ctx context.Context, up *upstreams) error {
	return errors.Join(l.stop(up.rawProcess), l.startRaw(ctx, up))
}
