package failover

import (
	"context"
	"fmt"
	"time"

	"neutrino/intent/liveness"
)

// Ready says why the store cannot write, nil when it can. It reads what the last
// writes came to and writes nothing, so that asking costs nothing.
func (m *Mover) Ready(context.Context) error {
	if err := m.writing(); err != nil {
		return fmt.Errorf("the store cannot write: %w", err)
	}
	if age := m.age(); age > 2*probePeriod+probeTimeout {
		return fmt.Errorf("the store was last written to %v ago", age.Round(time.Second))
	}
	return nil
}

// Notes are what an operator should know of dead hosts, for everybody to read.
func (m *Mover) Notes() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.seen.Dead) == 0 {
		return nil
	}
	if m.seen.Held == "" {
		return []string{fmt.Sprintf("%d hosts are dead", len(m.seen.Dead))}
	}
	return []string{fmt.Sprintf("%d hosts seem dead and keep their work: %s", len(m.seen.Dead), m.seen.Held)}
}

// Figures are the mover's figures at the moment.
type Figures struct {
	Verdict liveness.Verdict // of the last look
	Moved   int              // routers, and networks' DHCP services, since the start
	Age     time.Duration    // since a write last worked
	Writing bool             // the last write did not fail
}

// Figures reads the figures.
func (m *Mover) Figures() Figures {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Figures{m.seen, m.moved, time.Since(m.good), m.failed == nil}
}
