package intent

import (
	"fmt"
	"testing"

	"neutrino"
)

// BenchmarkCreatePort makes ports in one /8, where some addresses are taken
// already: the time must not grow with their number.
func BenchmarkCreatePort(b *testing.B) {
	for _, taken := range []int{0, 10_000} {
		b.Run(fmt.Sprintf("taken=%d", taken), func(b *testing.B) {
			c := newCloud(b, func(c *Config) { c.Quotas = nil })
			n := c.network(alice, neutrino.Network{})
			c.subnet(alice, n, "10.0.0.0/8")
			for made := 0; made < taken; made += 500 {
				c.do(alice, func(tx *Tx) error {
					for range 500 {
						if _, err := CreatePort(tx, neutrino.Port{NetworkID: n.ID}, nil); err != nil {
							return err
						}
					}
					return nil
				})
			}
			b.ResetTimer()
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := c.try(alice, create(neutrino.Port{NetworkID: n.ID})); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
