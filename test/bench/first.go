package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// firstTokens is how many streams of each target are begun in a round.
const firstTokens = 500

// firstWord is in the first event with text, in any format.
var firstWord = []byte("word-0")

// measureFirst compares the time to the first token with that of the mock itself:
// one stream at a time, the targets by turns, so that whatever else the machine
// does hits all of them.
func (l *lab) measureFirst(ctx context.Context, up *upstreams, gw *gateway) error {
	body, err := requestBody(brief, true)
	if err != nil {
		return err
	}
	ways := []struct {
		name   string
		direct string
		url    string
	}{
		{"OpenAI to OpenAI", "http://" + up.streams + firstPath, "http://" + gw.proxy + firstRoute},
		{"Anthropic to OpenAI", "http://" + up.streams + claudeFirstPath, "http://" + gw.proxy + claudeFirstRoute},
	}
	added := make([][]float64, len(ways))
	for round := range l.rounds + 1 {
		for w, way := range ways {
			straight, through := newClient(), newClient()
			var base, got []float64
			err := func() error {
				defer straight.CloseIdleConnections()
				defer through.CloseIdleConnections()
				for range firstTokens {
					one, err := firstOnce(ctx, straight, streamTarget{url: way.direct}, body)
					if err != nil {
						return err
					}
					other, err := firstOnce(ctx, through, streamTarget{url: way.url, header: keyHeader()}, body)
					if err != nil {
						return err
					}
					base, got = append(base, one), append(got, other)
				}
				return nil
			}()
			if err != nil {
				return err
			}
			if round == 0 {
				continue // warming
			}
			added[w] = append(added[w], percentile(got, 99)-percentile(base, 99))
			l.say("round %d, %s: first token p50 %.0f µs, p99 %.0f µs, straight to the mock %.0f µs and %.0f µs", round, way.name,
				percentile(got, 50), percentile(got, 99), percentile(base, 50), percentile(base, 99))
		}
	}
	for w, way := range ways {
		l.report.judge(fmt.Sprintf("%s, %s, 1 connection: time to the first token, p99 added", titles[ai], way.name), "µs", added[w], boundFirst)
	}
	return nil
}

// firstOnce is the time in µs from sending a request to the first text. The rest
// of the stream is read too, so that the connection can be used again.
func firstOnce(ctx context.Context, client *http.Client, t streamTarget, body []byte) (micros float64, err error) {
	from := time.Now()
	res, err := openStream(ctx, client, t, body)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	lines := bufio.NewReader(res.Body)
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return 0, fmt.Errorf("no first token: %w", err)
		}
		if bytes.Contains(line, firstWord) {
			break
		}
	}
	micros = float64(time.Since(from).Nanoseconds()) / 1000
	_, err = io.Copy(io.Discard, lines)
	return micros, err
}
