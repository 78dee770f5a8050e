// Package intent is the station that says what a request means: it validates,
// sets defaults, allocates and cascades, inside one transaction of the store.
// It does no I/O: clock and randomness come in with the transaction.
package intent

import (
	"context"
	crand "crypto/rand"
	"errors"
	"math/rand/v2"
	"time"

	"neutrino"
	"neutrino/intent/binding"
	"neutrino/intent/liveness"
	"neutrino/intent/quota"
	"neutrino/intent/serverevent"
	"neutrino/intent/work"
	"neutrino/store"
)

// What all features stand on has its home in package work.
type (
	Caller = work.Caller
	Config = work.Config
	Range  = work.Range
	Tx     = work.Tx
)

// AnyPhysicalNetwork is [work.AnyPhysicalNetwork].
const AnyPhysicalNetwork = work.AnyPhysicalNetwork

// DefaultConfig is [work.DefaultConfig] with the standard quotas.
func DefaultConfig() Config {
	c := work.DefaultConfig()
	c.Quotas = quota.Standard()
	return c
}

// CheckRevision is [work.CheckRevision].
func CheckRevision(std neutrino.Standard, want int64) error { return work.CheckRevision(std, want) }

// Source is where a service gets its clocks and its randomness from. Now and
// Rand are called once for each run of a transaction, also concurrently.
type Source struct {
	Now  func() time.Time // for display: somebody may set it
	Rand func() *rand.Rand
	// Elapsed only runs forward; it decides which hosts are dead.
	Elapsed func() time.Duration
}

// SystemSource is the machine's clocks and a generator with a seed of the
// kernel's.
func SystemSource() Source {
	return Source{Now: time.Now, Elapsed: liveness.Monotonic(), Rand: func() *rand.Rand {
		var seed [32]byte
		crand.Read(seed[:]) // never fails: crypto/rand ends the program instead
		return rand.New(rand.NewChaCha8(seed))
	}}
}

// Service carries out requests on a store.
type Service struct {
	db     *store.DB
	config Config
	source Source
	judge  *liveness.Judge
}

// New makes a service on the store with [SystemSource].
func New(db *store.DB, c Config) *Service { return NewWith(db, c, SystemSource()) }

// NewWith makes a service with a clock and randomness of the caller's, for
// tests that want the same result each time.
func NewWith(db *store.DB, c Config, src Source) *Service {
	return &Service{db: db, config: c, source: src, judge: liveness.New(c.AgentDownTime, src.Elapsed)}
}

// DB is the store that the service works on.
func (s *Service) DB() *store.DB { return s.db }

// Judge knows which hosts are alive. It hears of those whose registration or
// heartbeat [Service.Do] carries out; who reads their streams tells it the rest.
func (s *Service) Judge() *liveness.Judge { return s.judge }

// Config is a copy of the service's configuration.
func (s *Service) Config() Config { return s.config }

// Do runs f as one transaction of the caller's. f may run several times, each
// time from the start, when other transactions came in between: it must have no
// effect outside the transaction. The error is f's, or the store's.
func (s *Service) Do(ctx context.Context, caller Caller, f func(*Tx) error) error {
	var tx *Tx
	began := s.judge.Now()
	_, err := s.db.Update(ctx, func(t *store.Tx) error {
		tx = work.Begin(t, caller)
		tx.Config, tx.Rand, tx.Judge = &s.config, s.source.Rand(), s.judge
		tx.Now = s.source.Now().UTC().Truncate(time.Second)
		t.Because(caller.RequestID)
		if err := f(tx); err != nil {
			return err
		}
		binding.Leave(tx)
		serverevent.Record(tx)
		return nil
	})
	if over := (*store.LimitError)(nil); errors.As(err, &over) && tx.Refuse != nil {
		return tx.Refuse(over)
	}
	if err == nil && tx.Speaker != "" {
		s.judge.HeardAt(tx.Speaker, began) // the commit may have taken long
	}
	return err
}
