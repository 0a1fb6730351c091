package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

const (
	mega = 1 << 20
	kilo = 1 << 10
)

// binarySize records the size of the program.
func (l *lab) binarySize() error {
	info, err := os.Stat(l.gibbon)
	if err != nil {
		return err
	}
	l.report.aim("Size of the program", "MB", summarize([]float64{float64(info.Size()) / mega}), noBound)
	return nil
}

// measureRestarts starts the gateway over and over with its store, and takes
// from each fresh process what needs one: the time to ready, the memory at
// rest and under silent streams. nginx takes turns for the latter.
func (l *lab) measureRestarts(ctx context.Context, up *upstreams, gw *gateway) error {
	l.say("gibbon run with an existing store, %d times", l.starts)
	var seconds, idle []float64
	silent := map[string][]*float64{}
	for range l.starts {
		took, err := l.restart(ctx, gw)
		if err != nil {
			return err
		}
		seconds = append(seconds, took.Seconds())
		if l.wants("config") {
			if err := pause(ctx, l.settle); err != nil {
				return err
			}
			bytes, err := resident(gw.pid)
			if err != nil {
				return err
			}
			idle = append(idle, float64(bytes)/mega)
		}
		// Ready means that it proxies.
		if err := gw.check(ctx); err != nil {
			l.void("`gibbon run` calls itself ready: %v", err)
		}
		if !l.wants("streams") {
			continue
		}
		if err := l.restartRaw(ctx, up); err != nil {
			return err
		}
		for _, t := range []streamTarget{
			{key: raw, url: "http://" + up.rawStreams + silentPath, pid: up.rawProcess.pid},
			{key: ai, url: "http://" + gw.proxy + silentRoute, header: keyHeader(), pid: gw.pid},
		} {
			bytes, err := l.silentOnce(ctx, t)
			switch {
			case ctx.Err() != nil:
				return err
			case err != nil:
				l.void("%d silent streams, %s: %v", l.silent, titles[t.key], err)
				silent[t.key] = append(silent[t.key], nil)
			default:
				kilobytes := bytes / kilo
				l.say("%d silent streams, %s: %.1f KB each", l.silent, titles[t.key], kilobytes)
				silent[t.key] = append(silent[t.key], &kilobytes)
			}
		}
	}
	if l.wants("streams") {
		l.report.silent(silent)
	}
	if l.wants("config") {
		l.report.aim("`gibbon run`, start to ready, existing store", "s", summarize(seconds), boundStart)
		l.report.aim(fmt.Sprintf("`gibbon run`, idle, %d routes, resident memory", decoys), "MB", summarize(idle), boundIdle)
	}
	return nil
}

// measureHybrid measures a control plane and one data plane, which talk over
// gRPC with mutual TLS.
func (l *lab) measureHybrid(ctx context.Context, up *upstreams) error {
	l.say("control plane and data plane")
	cert, key := filepath.Join(l.folder, "cluster.crt"), filepath.Join(l.folder, "cluster.key")
	maker, err := l.start("gen_cert", gibbonEnv(nil), l.gibbon, "hybrid", "gen_cert", cert, key)
	if err != nil {
		return err
	}
	select {
	case <-maker.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := l.stop(maker); err != nil {
		return err
	}
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	tls := map[string]string{"KONG_CLUSTER_CERT": cert, "KONG_CLUSTER_CERT_KEY": key}

	cp, err := l.newGateway("gibbon-controlplane", "controlplane", map[string]string{
		"KONG_DATABASE": "sqlite", "KONG_CLUSTER_LISTEN": ports[0],
		"KONG_CLUSTER_CERT": cert, "KONG_CLUSTER_CERT_KEY": key,
	})
	if err != nil {
		return err
	}
	if cp.process, err = l.start("gibbon-controlplane", cp.env, l.gibbon, cp.command...); err != nil {
		return err
	}
	api := admin{cp.admin, cp.client}
	if _, err := cp.ready(ctx, time.Millisecond, answers(cp.client, "http://"+cp.admin+"/status")); err != nil {
		return err
	}
	tls["KONG_CLUSTER_CONTROL_PLANE"] = ports[0]
	dp, err := l.newGateway("gibbon-dataplane", "dataplane", tls)
	if err != nil {
		return err
	}
	if err := api.configure(ctx, up, dp.logFile); err != nil {
		return err
	}

	var seconds, idle []float64
	for i := range l.starts {
		var took time.Duration
		if i == 0 {
			took, err = l.startGateway(ctx, dp)
		} else {
			took, err = l.restart(ctx, dp)
		}
		if err != nil {
			return err
		}
		seconds = append(seconds, took.Seconds())
		if err := pause(ctx, l.settle); err != nil {
			return err
		}
		bytes, err := resident(dp.pid)
		if err != nil {
			return err
		}
		idle = append(idle, float64(bytes)/mega)
	}
	if err := dp.check(ctx); err != nil {
		return err
	}
	l.report.aim("`gibbon dataplane`, start to ready", "s", summarize(seconds), noBound)
	l.report.aim(fmt.Sprintf("`gibbon dataplane`, idle, %d routes, resident memory", decoys), "MB", summarize(idle), boundIdle)

	if err := l.measureWrites(ctx, "Data plane over gRPC and mutual TLS", cp, dp); err != nil {
		return err
	}
	bytes, err := resident(cp.pid)
	if err != nil {
		return err
	}
	l.report.aim("`gibbon controlplane` after these writes, resident memory", "MB", summarize([]float64{float64(bytes) / mega}), noBound)
	return nil
}

// writePatience is how long a write may take to be live.
const writePatience = 10 * time.Second

// measureWrites times configuration writes: each moves a route to a new path
// at one gateway's Admin API, and is live when the other, which may be the
// same, proxies a request for that path.
func (l *lab) measureWrites(ctx context.Context, title string, cp, dp *gateway) error {
	l.say("%d writes, %s", l.writes, title)
	var answered, live []float64
	late := 0 // writes that were answered before they were live
	for i := 1; i <= l.writes; i++ {
		toAnswer, toLive, err := l.writeOnce(ctx, cp, dp, fmt.Sprintf("/probe-%d", i))
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			l.void("write %d, %s: %v", i, title, err)
			break
		}
		answered = append(answered, toAnswer.Seconds()*1000)
		live = append(live, toLive.Seconds()*1000)
		if toLive > toAnswer {
			late++
		}
		// Writes do not fall into step with anything that happens at intervals.
		if err := pause(ctx, rand.N(40*time.Millisecond)); err != nil {
			return err
		}
	}
	l.report.spread(title+": write sent to answered", "ms", answered)
	l.report.spread(title+": write sent to live", "ms", live)
	if cp == dp && late > 0 {
		l.void("%s: %d of %d writes were answered before they were live", title, late, l.writes)
	}
	return nil
}

// writeOnce moves the probe route. Once the write is answered, a single request
// decides whether it was live by then; if not, the requests go on.
func (l *lab) writeOnce(ctx context.Context, cp, dp *gateway, path string) (toAnswer, toLive time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, writePatience)
	defer cancel()
	proxied := func() (bool, error) {
		status, _, body, err := fetch(ctx, dp.client, http.MethodGet, "http://"+dp.proxy+path, nil, nil)
		if err == nil && status != http.StatusOK && status != http.StatusNotFound {
			err = fmt.Errorf("%s answers %d %s", path, status, body)
		}
		return status == http.StatusOK, err
	}
	if ok, err := proxied(); err != nil || ok {
		return 0, 0, errors.Join(fmt.Errorf("%s is proxied before it is written: %v", path, ok), err)
	}
	from := time.Now()
	err = admin{cp.admin, cp.client}.call(ctx, http.MethodPatch, "/routes/probe", object{"paths": []string{path}})
	if err != nil {
		return 0, 0, err
	}
	toAnswer = time.Since(from)
	for first := true; ; first = false {
		ok, err := proxied()
		switch {
		case err != nil:
			return 0, 0, err
		case ok && first:
			return toAnswer, toAnswer, nil
		case ok:
			return toAnswer, time.Since(from), nil
		}
		// Often enough to tell milliseconds apart, without filling a core.
		if err := pause(ctx, 200*time.Microsecond); err != nil {
			return 0, 0, err
		}
	}
}
