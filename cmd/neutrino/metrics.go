package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"neutrino"
	"neutrino/api"
	"neutrino/api/conns"
	"neutrino/auth"
	"neutrino/feed"
	"neutrino/intent"
	"neutrino/intent/failover"
	"neutrino/intent/liveness"
	"neutrino/nova"
	"neutrino/store"
)

// measures are the server's figures in Prometheus's form. Names follow its
// conventions: base units, _total for what only grows.
type measures struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	events   *prometheus.CounterVec
}

func newMeasures() *measures {
	m := &measures{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "neutrino_http_requests_total", Help: "Requests that the API has answered.",
		}, []string{"method", "resource", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "neutrino_http_request_duration_seconds", Help: "Time from the first byte of a request to the last of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.00025, 2, 16), // 0.25 ms to 8 s
		}, []string{"method", "resource"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "neutrino_nova_events_total", Help: "What became of events for Nova; one that failed is sent again.",
		}, []string{"name", "outcome"}),
	}
	m.registry.MustRegister(m.requests, m.duration, m.events, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// observe counts one answer. Methods that nobody knows are one.
func (m *measures) observe(o api.Observation) {
	switch o.Method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead:
	default:
		o.Method = "other"
	}
	m.requests.WithLabelValues(o.Method, o.Resource, strconv.Itoa(o.Status)).Inc()
	m.duration.WithLabelValues(o.Method, o.Resource).Observe(o.Duration.Seconds())
}

// event counts what became of an event for Nova.
func (m *measures) event(name neutrino.EventName, o nova.Outcome) {
	m.events.WithLabelValues(string(name), string(o)).Inc()
}

// watch adds what is read from the store and the feed when somebody asks.
func (m *measures) watch(svc *intent.Service, hosts *feed.Server, mover *failover.Mover) {
	m.registry.MustRegister(&state{
		svc: svc, hosts: hosts, mover: mover,
		revision: prometheus.NewDesc("neutrino_store_revision", "The store's revision.", nil, nil),
		objects:  prometheus.NewDesc("neutrino_store_objects", "Rows of a table.", []string{"table"}, nil),
		agents:   prometheus.NewDesc("neutrino_agents", "Agents by type, and whether their host is not dead.", []string{"type", "alive"}, nil),
		fed:      prometheus.NewDesc("neutrino_feed_hosts", "Hosts whose agent is connected to this server.", nil, nil),
		apart:    prometheus.NewDesc("neutrino_feed_hosts_of_another_store", "Connected hosts that hold the view of another store and do not take this one's.", nil, nil),
		waiting:  prometheus.NewDesc("neutrino_nova_events_waiting", "Events that Nova has not acknowledged.", nil, nil),
		dead:     prometheus.NewDesc("neutrino_hosts_dead", "Hosts in use that seem dead, by whether they keep their work.", []string{"held"}, nil),
		moved:    prometheus.NewDesc("neutrino_failover_moved_total", "Routers, and networks' DHCP services, that moved away from dead hosts.", nil, nil),
		written:  prometheus.NewDesc("neutrino_store_write_age_seconds", "Time since a write of the store last worked.", nil, nil),
		writing:  prometheus.NewDesc("neutrino_store_writing", "1 while the store's last write worked.", nil, nil),
	})
}

// watchLimits adds how full the spaces are and whether the policy's files are in
// force, and gives what /readyz says of both.
func (m *measures) watchLimits(ctx context.Context, group *errgroup.Group, s *spaces, p *auth.Policies) func() []string {
	m.registry.MustRegister(s)
	group.Go(func() error { return s.watch(ctx) })
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "neutrino_policy_stale", Help: "1 while the policy files cannot be used and an earlier policy holds; the log says why.",
	}, func() float64 { return float64(len(policyNotes(p))) }))
	return func() []string { return append(policyNotes(p), s.notes()...) }
}

// policyNotes say in /readyz that the policy files are not in force.
func policyNotes(p *auth.Policies) []string {
	if p.Problem() == "" {
		return nil
	}
	return []string{"the policy files cannot be used and an earlier policy holds; the server's log says why"}
}

// state is what the store and the feed say at the moment.
type state struct {
	svc   *intent.Service
	hosts *feed.Server
	mover *failover.Mover

	revision, objects, agents, fed, apart, waiting *prometheus.Desc
	dead, moved, written, writing                  *prometheus.Desc
}

// Describe names the figures.
func (s *state) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.revision, s.objects, s.agents, s.fed, s.apart, s.waiting, s.dead, s.moved, s.written, s.writing} {
		to <- d
	}
}

// Collect reads the figures.
func (s *state) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value int, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
	}
	snap := s.svc.DB().Snapshot()
	to <- prometheus.MustNewConstMetric(s.revision, prometheus.CounterValue, float64(snap.Revision()))
	for table, n := range snap.Lengths() {
		gauge(s.objects, n, table)
	}
	type kind struct {
		typ   string
		alive bool
	}
	count := map[kind]int{}
	for a := range store.All(snap, store.Agents) {
		count[kind{a.AgentType, s.alive(a)}]++
	}
	for k, n := range count {
		gauge(s.agents, n, k.typ, strconv.FormatBool(k.alive))
	}
	gauge(s.fed, s.hosts.Connected())
	gauge(s.apart, s.hosts.Apart())
	gauge(s.waiting, store.Len(snap, store.ServerEvents))
	s.collectMover(to)
}

func (s *state) collectMover(to chan<- prometheus.Metric) {
	figure := func(d *prometheus.Desc, t prometheus.ValueType, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, t, value, labels...)
	}
	f := s.mover.Figures()
	figure(s.dead, prometheus.GaugeValue, float64(len(f.Verdict.Movable())), "false")
	figure(s.dead, prometheus.GaugeValue, float64(len(f.Verdict.Dead)-len(f.Verdict.Movable())), "true")
	figure(s.moved, prometheus.CounterValue, float64(f.Moved))
	figure(s.written, prometheus.GaugeValue, f.Age.Seconds())
	writing := 0.0
	if f.Writing {
		writing = 1
	}
	figure(s.writing, prometheus.GaugeValue, writing)
}

func (s *state) alive(a *neutrino.Agent) bool { return s.svc.Judge().State(a.Host) != liveness.Dead }

// serve serves /metrics on an address of its own until ctx ends: the
// figures are for the operator, not for tenants.
func (m *measures) serve(ctx context.Context, group *errgroup.Group, address string) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("[neutrino] metrics_listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	server := conns.Server(ctx, mux)
	group.Go(func() error { return server.Serve(ln) })
	group.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
	return nil
}
