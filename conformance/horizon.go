package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// horizonSettings configure Debian's dashboard; see there.
//
//go:embed horizon.py
var horizonSettings string

// horizonLocation tells a script where to go when its form was accepted.
const horizonLocation = "X-Horizon-Location"

// The pages of the dashboard.
const (
	horizonNetworks = "/project/networks/"
	horizonRouters  = "/project/routers/"
	horizonGroups   = "/project/security_groups/"
	horizonFloating = "/project/floating_ips/"
	horizonTopology = "/project/network_topology/"
)

// horizon starts Debian's dashboard and does in it what a member and an
// administrator do with networks. Each answer of the dashboard is looked at: a
// page that fails or tells of an error is a failure. What it asks Nova for, the
// overview and where a floating IP may lead, has no Nova here, and is left out.
func (s *stack) horizon(ctx context.Context) ([]result, error) {
	base, err := s.startHorizon(ctx)
	if err != nil {
		return nil, err
	}
	var results []result
	for _, story := range []struct {
		user  string
		steps func(*dashboard) []dashboardStep
	}{{demoUser, (*dashboard).member}, {adminUser, (*dashboard).administrator}} {
		b, err := newBrowser(base)
		if err != nil {
			return nil, err
		}
		d := &dashboard{stack: s, browser: b, user: story.user, known: map[string]string{}}
		for _, step := range append([]dashboardStep{{"log in", d.login}}, story.steps(d)...) {
			began := time.Now()
			r := result{Name: story.user + ": " + step.name, Status: passed}
			if err := step.do(ctx); err != nil {
				r.Status, r.Reason = failed, err.Error()
				s.say("horizon: failed: %s", r.Name)
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			r.Seconds = time.Since(began).Seconds()
			results = append(results, r)
		}
	}
	return results, nil
}

// startHorizon starts the dashboard in two processes, as its pages ask several
// services each.
func (s *stack) startHorizon(ctx context.Context) (string, error) {
	if err := os.MkdirAll(s.path("horizon", "sessions"), 0o700); err != nil {
		return "", fmt.Errorf("horizon: %w", err)
	}
	if err := os.WriteFile(s.path("horizon", "dashboard.py"), []byte(horizonSettings), 0o600); err != nil {
		return "", fmt.Errorf("horizon: %w", err)
	}
	ports, err := freePorts(ctx, 1)
	if err != nil {
		return "", err
	}
	address := "127.0.0.1:" + strconv.Itoa(ports[0])
	p, err := s.start(ctx, command{name: "horizon", dir: s.path("horizon"), argv: []string{
		"uwsgi", "--plugins", "python3", "--http-socket", address, "--die-on-term", "--need-app", "--master",
		"--processes", "2", "--buffer-size", "65535", "--add-header", "Connection: close", "--pythonpath", ".", "--module", "dashboard",
	}, env: append(s.keystone.env(demoUser), "DJANGO_SETTINGS_MODULE=dashboard", "HORIZON_SESSIONS="+s.path("horizon", "sessions"))})
	if err != nil {
		return "", err
	}
	base := "http://" + address
	err = p.await(ctx, 2*time.Minute, func(ctx context.Context) error {
		b, err := newBrowser(base)
		if err == nil {
			_, err = b.open(ctx, "/auth/login/")
		}
		return err
	})
	if err == nil {
		s.say("Horizon answers at %s", base)
	}
	return base, err
}

// dashboard is a user in front of the dashboard.
type dashboard struct {
	*stack
	*browser
	user  string
	known map[string]string // ids by name
}

// dashboardStep is one thing that the user does.
type dashboardStep struct {
	name string
	do   func(context.Context) error
}

func (d *dashboard) login(ctx context.Context) error {
	p, err := d.open(ctx, "/auth/login/")
	if err != nil {
		return err
	}
	form := p.form("/auth/login/")
	if form == nil {
		return errors.New("the page to log in has no form")
	}
	fields := fieldsOf(form)
	for name, value := range map[string]string{"username": d.user, "password": password, "domain": domain} {
		fields.Set(name, value)
	}
	p, err = d.ask(ctx, "/auth/login/", fields)
	if err == nil && p.header.Get(horizonLocation) == "" {
		err = errors.New("the answer shows the page to log in again")
	}
	return err
}

// look opens pages.
func (d *dashboard) look(paths ...string) dashboardStep {
	return dashboardStep{"open " + strings.Join(paths, " "), func(ctx context.Context) error {
		var errs []error
		for _, path := range paths {
			_, err := d.open(ctx, d.fill(path))
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}}
}

// send fills in a form.
func (d *dashboard) send(path string, fields map[string]string) dashboardStep {
	return dashboardStep{"fill in " + path, func(ctx context.Context) error { return d.submit(ctx, d.fill(path), fields) }}
}

// find keeps the id of what a page lists by a name: ${name} from here on.
func (d *dashboard) find(path, name string) dashboardStep {
	return dashboardStep{"find " + name + " in " + path, func(ctx context.Context) (err error) {
		d.known[name], err = d.row(ctx, d.fill(path), name)
		return err
	}}
}

// press presses the button of a row.
func (d *dashboard) press(path, action string) dashboardStep {
	return dashboardStep{"press " + action, func(ctx context.Context) error { return d.act(ctx, d.fill(path), d.fill(action)) }}
}

// is asks the API itself, whether a collection has so many objects by a query.
func (d *dashboard) is(n int, collection, query string) dashboardStep {
	return dashboardStep{fmt.Sprintf("there are %d %s with %s", n, collection, query), func(ctx context.Context) error {
		found, err := d.network.list(ctx, "/v2.0/"+collection, "?"+d.fill(query))
		if err == nil && len(found) != n {
			err = fmt.Errorf("there are %d: %v", len(found), found)
		}
		return err
	}}
}

func (d *dashboard) fill(text string) string {
	return os.Expand(text, func(name string) string { return d.known[name] })
}
