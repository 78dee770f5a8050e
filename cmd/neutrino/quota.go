package main

import (
	"fmt"
	"strconv"

	"neutrino"
	"neutrino/config"
	"neutrino/intent/quota"
)

// quotaOptions are the limits of a project that has none of its own.
func quotaOptions() []config.Option {
	var out []config.Option
	for _, r := range quota.Table() {
		out = append(out, config.Option{
			Section: "quotas", Name: "quota_" + r.Name, Default: strconv.Itoa(r.Default),
			Help: fmt.Sprintf("%s of a project, -1 for no limit", r.Text), Check: config.Number,
		})
	}
	return out
}

// quotas are the limits by resource; as in Neutron, what is negative is none.
func quotas(v *config.Values) map[string]int {
	limits := map[string]int{}
	for _, name := range quota.Resources() {
		limits[name] = max(v.Int("quotas", "quota_"+name), neutrino.NoLimit)
	}
	return limits
}
