package conntrack

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"neutrino/host"
	"neutrino/host/inside"
)

// LimitOptions say how much of the connection table one port may take.
type LimitOptions struct {
	// PerPort is how many connections one port may have on the host; no limit
	// where it is 0.
	PerPort int
	// NetNSDir holds the named namespaces, "/run/netns" when empty.
	NetNSDir string
	// HostObject is what a full table of the host is a finding of.
	HostObject string
}

// Table is how full the connection table of a namespace is.
type Table struct {
	NetNS   string `json:"netns"` // "" for the host's own
	Count   int    `json:"count"`
	Max     int    `json:"max"`
	Largest []User `json:"largest,omitempty"` // of the host's: the ports with most, most first
}

// User is a port with its share of the host's table.
type User struct {
	Object      string `json:"object"`
	Connections int    `json:"connections"`
}

// Limiter keeps one port from filling the connection table that all of the
// host's ports share, and says how full the tables are. A port that has more
// connections than it may loses those beyond: first those that nobody has
// answered, as the kernel itself does where its table is full. Other ports'
// connections are not touched.
//
// The kernel's own limit, nf_conncount behind connlimit, looks through all of a
// port's connections for each new one: at some thousands that costs more than the
// flood (docs/decisions/034-a-port-has-its-share-of-the-table.md).
type Limiter struct {
	options LimitOptions
	events  chan struct{}

	mu      sync.Mutex
	zones   map[uint16]string // the plan's ports
	routers map[string]string // namespaces with a table of their own, with their objects
	over    map[uint16]time.Time
	full    map[string]string // by namespace: why it is a finding
}

// NewLimiter makes a limiter that knows no port yet.
func NewLimiter(o LimitOptions) *Limiter {
	o.NetNSDir = cmp.Or(o.NetNSDir, "/run/netns")
	return &Limiter{options: o, events: make(chan struct{}, 1), over: map[uint16]time.Time{}, full: map[string]string{}}
}

// Expect takes in which ports and which routers there are.
func (l *Limiter) Expect(s *host.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.zones, l.routers = map[uint16]string{}, map[string]string{}
	for id, z := range s.Zones {
		l.zones[id] = z.Why.Object
	}
	for name := range s.Translations {
		l.routers[name] = cmp.Or(s.Namespaces[name].Why.Object, name)
	}
}

// Events receives a value, without blocking the sender, when the findings have
// changed.
func (l *Limiter) Events() <-chan struct{} { return l.events }

const (
	// limitPeriod is how often the table's size is looked at. Only a table with
	// more entries than one port may have is read.
	limitPeriod = time.Second
	// restShare is how many times as long as a reading takes nothing is read after it.
	restShare = 10
	// overPeriod is how long a port that had too many stays a finding.
	overPeriod = 5 * time.Minute
	// fullPercent is from when on a table counts as nearly full.
	fullPercent = 80
)

// Run looks again and again until the context ends.
func (l *Limiter) Run(ctx context.Context) error {
	wait := limitPeriod
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		began := time.Now()
		changed, err := l.round(ctx, began)
		if changed || err != nil {
			select {
			case l.events <- struct{}{}:
			default:
			}
		}
		wait = max(limitPeriod, restShare*time.Since(began))
	}
}

// round looks at the tables once, and ends what is too much.
func (l *Limiter) round(ctx context.Context, now time.Time) (changed bool, err error) {
	before := l.Findings()
	tables, err := l.tables(ctx)
	if err != nil {
		return false, err
	}
	own := tables[0]
	var users map[uint16]int
	if own.Count > l.options.PerPort && l.options.PerPort > 0 || nearlyFull(own) {
		if users, err = l.users(ctx); err != nil {
			return false, err
		}
		err = l.enforce(ctx, users, now)
	}
	l.mu.Lock()
	maps.DeleteFunc(l.over, func(zone uint16, last time.Time) bool { return l.zones[zone] == "" || now.Sub(last) > overPeriod })
	l.full = map[string]string{}
	for _, t := range tables {
		if nearlyFull(t) {
			l.full[t.NetNS] = l.reason(t, users)
		}
	}
	l.mu.Unlock()
	return !slices.Equal(before, l.Findings()), err
}

func nearlyFull(t Table) bool { return t.Max > 0 && t.Count*100 >= t.Max*fullPercent }

// reason says that a table is nearly full, and who takes most of the host's.
func (l *Limiter) reason(t Table, users map[uint16]int) string {
	text := fmt.Sprintf("the connection table (nf_conntrack_max %d) is at least %d %% full; what opens a connection when it is full is dropped", t.Max, fullPercent)
	if t.NetNS != "" {
		return text + "; it is that of namespace " + t.NetNS
	}
	if most := l.largest(users, 1); len(most) > 0 {
		text += "; most of it is " + most[0].Object + "'s"
	}
	return text
}

// enforce ends what ports have beyond their limit.
func (l *Limiter) enforce(ctx context.Context, users map[uint16]int, now time.Time) error {
	beyond := map[uint16]int{}
	l.mu.Lock()
	for zone, n := range users {
		if l.options.PerPort > 0 && n > l.options.PerPort && l.zones[zone] != "" {
			beyond[zone], l.over[zone] = n-l.options.PerPort, now
		}
	}
	l.mu.Unlock()
	if len(beyond) == 0 {
		return nil
	}
	entries, err := dump(ctx, func(zone uint16) bool { return beyond[zone] > 0 })
	if err != nil {
		return fmt.Errorf("conntrack: reading the table: %w", err)
	}
	s, err := open()
	if err != nil {
		return err
	}
	defer s.close()
	var errs []error
	for _, answered := range [...]bool{false, true} {
		for _, e := range entries {
			if e.answered != answered || beyond[e.zone] <= 0 {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.remove(e); err != nil {
				errs = append(errs, err)
				continue
			}
			beyond[e.zone]--
		}
	}
	return errors.Join(errs...)
}

// Findings are the ports that had more connections than they may, and the tables
// that are nearly full.
func (l *Limiter) Findings() []host.Finding {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []host.Finding
	for zone := range l.over {
		out = append(out, host.Finding{Object: l.zones[zone], Reason: fmt.Sprintf(
			"it opens more connections than the %d that one port may have on a host; those beyond are ended, unanswered ones first; "+
				"find out what the instance does, or raise [neutrino] port_conntrack_limit with the host's nf_conntrack_max", l.options.PerPort)})
	}
	for ns, reason := range l.full {
		out = append(out, host.Finding{Object: cmp.Or(l.routers[ns], l.options.HostObject), Reason: reason})
	}
	slices.SortFunc(out, func(a, b host.Finding) int {
		return cmp.Or(strings.Compare(a.Object, b.Object), strings.Compare(a.Reason, b.Reason))
	})
	return out
}

// shownUsers is how many ports are listed.
const shownUsers = 5

// Tables says how full the tables of the host and of its routers are, and which
// ports take most of the host's. It reads the whole table.
func (l *Limiter) Tables(ctx context.Context) ([]Table, error) {
	tables, err := l.tables(ctx)
	if err != nil {
		return nil, err
	}
	users, err := l.users(ctx)
	tables[0].Largest = func() []User { l.mu.Lock(); defer l.mu.Unlock(); return l.largest(users, shownUsers) }()
	return tables, err
}

// largest are the ports with most connections; the caller holds the lock.
func (l *Limiter) largest(users map[uint16]int, n int) []User {
	var all []User
	for zone, c := range users {
		if object := l.zones[zone]; object != "" {
			all = append(all, User{object, c})
		}
	}
	slices.SortFunc(all, func(a, b User) int {
		return cmp.Or(cmp.Compare(b.Connections, a.Connections), strings.Compare(a.Object, b.Object))
	})
	return all[:min(n, len(all))]
}

// tables reads the sizes: the host's first, then the routers' by name. A
// namespace that has gone meanwhile has none.
func (l *Limiter) tables(ctx context.Context) ([]Table, error) {
	l.mu.Lock()
	names := slices.Sorted(maps.Keys(l.routers))
	l.mu.Unlock()
	own, err := size("")
	if err != nil {
		return nil, fmt.Errorf("conntrack: how full the table is: %w", err)
	}
	out := []Table{own}
	for _, ns := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var t Table
		err := inside.Namespace(filepath.Join(l.options.NetNSDir, ns), func() (err error) {
			t, err = size(ns)
			return err
		})
		if err == nil {
			out = append(out, t)
		}
	}
	return out, nil
}

// size reads the table of the calling thread's namespace.
func size(ns string) (t Table, err error) {
	t.NetNS = ns
	for name, to := range map[string]*int{"nf_conntrack_count": &t.Count, "nf_conntrack_max": &t.Max} {
		b, err := os.ReadFile("/proc/sys/net/netfilter/" + name)
		if errors.Is(err, os.ErrNotExist) {
			return t, nil // nothing is tracked here
		}
		if err != nil {
			return t, err
		}
		if *to, err = strconv.Atoi(strings.TrimSpace(string(b))); err != nil {
			return t, err
		}
	}
	return t, nil
}

// users counts the entries of each zone.
func (l *Limiter) users(ctx context.Context) (map[uint16]int, error) {
	var err error
	for range 5 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out := map[uint16]int{}
		req := nl.NewNetlinkRequest(subsysConntrack<<8|msgGet, unix.NLM_F_DUMP)
		req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC, Version: nl.NFNETLINK_V0})
		err = req.ExecuteIter(unix.NETLINK_NETFILTER, 0, func(msg []byte) bool {
			if len(msg) >= 4 {
				attrs(msg[4:], func(kind uint16, v []byte) {
					if kind == attrZone && len(v) == 2 {
						out[binary.BigEndian.Uint16(v)]++
					}
				})
			}
			return true
		})
		// A table that changes meanwhile is counted nearly enough.
		if err == nil || errors.Is(err, nl.ErrDumpInterrupted) {
			return out, nil
		}
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ENOBUFS) {
			break
		}
	}
	return nil, fmt.Errorf("conntrack: counting the table's entries: %w", err)
}
