// Package agent is the loop on a host: it takes the view from the feed, plans,
// reconciles and reports. It knows no protocol and no feature.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"neutrino"
	"neutrino/feed"
	"neutrino/host"
	"neutrino/plan"
	"neutrino/reconcile"
	"neutrino/view"
	"neutrino/view/fuse"
)

// Config is the agent's own configuration.
type Config struct {
	Host     string      // name of this host
	Plan     plan.Config // what the host adds to its plan
	Socket   string      // where status is answered; "" for SocketPath of Plan.StatePath
	Audit    time.Duration
	RetryMin time.Duration
	RetryMax time.Duration
	// Fuse says when a view that ends much of what serves is held; zero for never.
	Fuse fuse.Settings
}

// The times that a zero in [Config] stands for.
const (
	DefaultAudit    = 60 * time.Second
	DefaultRetryMin = 100 * time.Millisecond
	DefaultRetryMax = 30 * time.Second
)

// recheckTime is how long a change may stay unseen on a surface that announces
// none and is cheap to read: kernel settings, ipsets.
const recheckTime = 3 * time.Second

// SocketPath is where an agent with the state path answers [ReadStatus].
func SocketPath(statePath string) string { return filepath.Join(statePath, "agent.sock") }

// Source is where the views come from; a *[feed.Client] is one. Only Run may
// wait.
type Source interface {
	Run(ctx context.Context) error
	Changed() <-chan struct{}
	Latest() (feed.View, bool)
	// Accept says which view is acted on, and what is in force with it since when
	// rows of before are held.
	Accept(v feed.View, inForce *view.Host, since time.Time)
	// InForce is what was accepted last, also before a restart.
	InForce() (inForce *view.Host, since time.Time)
	// Ask has the server asked which rows are gone because somebody asked for that,
	// and Answer is what it said, and whether it did so about all.
	Ask(keys []view.Key)
	Answer() (gone map[view.Key]string, all bool)
	Report(r neutrino.Report)
	State() feed.ClientState
}

// Deps is what the agent works with.
type Deps struct {
	Source Source
	Hands  Hands
	// Surfaces are looked at for what the loop needs of a hand besides Read and
	// Apply: a method Events tells that something else changed the surface,
	// Invalidate makes the next Read read, Recheck makes it read what changes
	// without a word, Expect is told each new plan, View each new view, Findings
	// are reported with what is pending, Run has to run meanwhile, and Close comes
	// last. Each surface may have any of them.
	Surfaces []any
}

type eventer interface{ Events() <-chan struct{} }

type invalidator interface{ Invalidate() }

type rechecker interface{ Recheck() }

type expecter interface{ Expect(s *host.State) }

type viewer interface{ View(v *view.Host) }

type finder interface{ Findings() []host.Finding }

type runner interface {
	Run(ctx context.Context) error
}

type closer interface{ Close() }

// Agent makes one host look as its view says.
type Agent struct {
	config  Config
	deps    Deps
	steps   []step
	events  chan struct{} // capacity 1: a surface changed
	tracker tracker

	// The loop's own.
	guard    guard
	planned  *view.Host
	state    *host.State
	reported *neutrino.Report
	lastEnd  time.Time
	lastTook time.Duration

	shared shared
}

// New makes an agent; [Agent.Run] runs it.
func New(c Config, d Deps) *Agent {
	if c.Audit == 0 {
		c.Audit = DefaultAudit
	}
	if c.RetryMin == 0 {
		c.RetryMin = DefaultRetryMin
	}
	if c.RetryMax == 0 {
		c.RetryMax = DefaultRetryMax
	}
	if c.Socket == "" {
		c.Socket = SocketPath(c.Plan.StatePath)
	}
	return &Agent{config: c, deps: d, steps: Steps(d.Hands), events: make(chan struct{}, 1)}
}

// Run works until the context ends, and then returns nil. What it built stays.
func (a *Agent) Run(ctx context.Context) error {
	ln, err := feed.Listen(ctx, "unix:"+a.config.Socket, feed.Local)
	if err != nil {
		return fmt.Errorf("agent: status socket: %w", err)
	}
	defer func() {
		for _, s := range a.deps.Surfaces {
			if c, ok := s.(closer); ok {
				c.Close()
			}
		}
	}()
	eg, ctx := errgroup.WithContext(ctx)
	eg.Go(func() error { return a.serveStatus(ctx, ln) })
	eg.Go(func() error { return a.deps.Source.Run(ctx) })
	for _, s := range a.deps.Surfaces {
		if e, ok := s.(eventer); ok {
			eg.Go(func() error { return a.forward(ctx, e.Events()) })
		}
		if r, ok := s.(runner); ok {
			eg.Go(func() error { return r.Run(ctx) })
		}
	}
	eg.Go(func() error { return a.loop(ctx) })
	if err := eg.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (a *Agent) forward(ctx context.Context, events <-chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-events:
			if !ok {
				return nil
			}
			select {
			case a.events <- struct{}{}:
			default:
			}
		}
	}
}

// maxPause is the longest that surface events wait for each other.
const maxPause = 20 * time.Millisecond

// loop makes a pass when the view changed, when a surface changed, when a
// problem is to be tried again, and for the audit. What comes during a pass is
// one next pass.
func (a *Agent) loop(ctx context.Context) error {
	audit := time.NewTicker(a.config.Audit)
	defer audit.Stop()
	recheck := time.NewTicker(recheckTime)
	defer recheck.Stop()
	retry := time.NewTimer(0)
	defer retry.Stop()
	wait := a.config.RetryMin
	for {
		again := false
		select {
		case <-ctx.Done():
			return nil
		case <-a.deps.Source.Changed():
		case <-a.events:
			if !a.pause(ctx) {
				return nil
			}
		case <-retry.C:
			again = true
		case <-recheck.C:
			a.recheck()
		case <-audit.C:
			a.invalidate()
		}
		changed, problems := a.pass(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case !problems:
			retry.Stop()
			wait = a.config.RetryMin
			continue
		case changed:
			wait = a.config.RetryMin
		case again:
			wait = min(2*wait, a.config.RetryMax)
		}
		retry.Reset(wait)
	}
}

// pause lets events gather after a pass for as long as the pass took, so that a
// storm of them costs at most half of the time. The first event does not wait.
func (a *Agent) pause(ctx context.Context) bool {
	rest := min(a.lastTook, maxPause) - time.Since(a.lastEnd)
	if rest <= 0 {
		return true
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(rest):
		return true
	}
}

func (a *Agent) invalidate() {
	for _, s := range a.deps.Surfaces {
		if i, ok := s.(invalidator); ok {
			i.Invalidate()
		}
	}
}

func (a *Agent) recheck() {
	for _, s := range a.deps.Surfaces {
		if r, ok := s.(rechecker); ok {
			r.Recheck()
		}
	}
}

// pass makes the host as the latest view says. problems is set while something
// remains, changed when that is something else than after the pass before.
func (a *Agent) pass(ctx context.Context) (changed, problems bool) {
	v, ok := a.deps.Source.Latest()
	if !ok {
		a.waitForView()
		return false, false
	}
	start := time.Now()
	age := samePlan
	inForce := a.inForce(v, start)
	if a.planned == nil && a.guard.undecided(v, start) {
		return false, true
	}
	if a.planned != inForce {
		age = newPlan
		a.planned, a.state = inForce, plan.Host(inForce, a.config.Plan)
		for _, s := range a.deps.Surfaces {
			if e, ok := s.(expecter); ok {
				e.Expect(a.state)
			}
			if e, ok := s.(viewer); ok {
				e.View(a.planned)
			}
		}
	}
	planned := time.Since(start)
	res := reconcile.Sync(ctx, a.steps, a.state)
	a.lastEnd, a.lastTook = time.Now(), time.Since(start)
	if ctx.Err() != nil {
		return false, false // what failed, failed because we stop
	}
	slog.Debug("agent: pass", "revision", v.Revision, "plan", planned, "took", a.lastTook,
		"puts", res.Puts, "drops", res.Drops, "problems", len(res.Problems))
	if age == newPlan && len(res.Writes) > 0 {
		slog.Info("agent: host changed", "revision", v.Revision, "request_ids", v.Causes,
			"puts", res.Puts, "drops", res.Drops, "problems", len(res.Problems), "took", a.lastTook)
	}
	for _, w := range res.Writes {
		slog.Debug("agent: wrote", "object", w.Object, "surface", w.Surface, "items", w.Items)
	}
	if age == samePlan {
		a.tracker.repair(a.lastEnd, res.Writes)
	}
	changed = a.tracker.update(start, slices.Concat(trouble(a.state, res, a.findings()), a.guard.trouble(), a.apart(v)), age)
	a.report(v)
	a.shared.update(a, v, res)
	return changed, a.tracker.open()
}

// waitForView reports why there is no view to act on, where that is for a person
// to know. The host stays as it is.
func (a *Agent) waitForView() {
	if found := a.findings(); len(found) > 0 {
		a.tracker.update(time.Now(), trouble(host.NewState(), reconcile.Result{}, found), samePlan)
		a.report(feed.View{})
		a.shared.noticed(a)
	}
}

// findings are what the surfaces have found around the host, and why the newest
// view is not acted on.
func (a *Agent) findings() []host.Finding {
	var all []host.Finding
	if held := a.deps.Source.State().Held; held != "" {
		all = append(all, host.Finding{Object: neutrino.HostObject, Reason: held})
	}
	for _, s := range a.deps.Surfaces {
		if f, ok := s.(finder); ok {
			all = append(all, f.Findings()...)
		}
	}
	return all
}

// report tells the server when the revision or what is pending is new to it.
func (a *Agent) report(v feed.View) {
	r := neutrino.Report{Host: a.config.Host, Revision: v.Revision, Life: v.Life, Pending: a.tracker.pending()}
	if a.reported != nil && sameReport(*a.reported, r) {
		return
	}
	a.reported = &r
	a.deps.Source.Report(r)
}
