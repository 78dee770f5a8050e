package link

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"neutrino/host"
	"neutrino/reconcile"
)

type sysctls struct{ *Hands }

// Sysctls is the hand on kernel settings. No mark says which settings are
// ours, so Read returns those that plans have named so far, see
// [Hands.ExpectSysctls].
func (h *Hands) Sysctls() reconcile.Hand[host.SysctlKey, host.Sysctl] { return sysctls{h} }

// ExpectSysctls tells the hand which settings a plan names, before the first
// Read, so that a fresh agent finds that they are as wanted and puts none.
func (h *Hands) ExpectSysctls(keys ...host.SysctlKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range keys {
		h.sysctls[k] = true
	}
}

// Read returns the present values.
func (h sysctls) Read(ctx context.Context) (map[host.SysctlKey]host.Sysctl, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.refresh(ctx); err != nil {
		return nil, err
	}
	out := map[host.SysctlKey]host.Sysctl{}
	for namespace, names := range byNamespace(maps.Keys(h.sysctls)) {
		p := h.places[namespace]
		if p == nil {
			continue
		}
		err := p.in(func() error {
			for _, name := range names {
				value, err := ReadSysctl(name)
				if errors.Is(err, os.ErrNotExist) {
					continue
				}
				if err != nil {
					return err
				}
				out[host.SysctlKey{NetNS: namespace, Name: name}] = host.Sysctl{Value: value}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("link: settings of namespace %q: %w", namespace, err)
		}
	}
	return out, nil
}

// Apply sets what is put, where it differs. A setting that is dropped keeps its
// value and is no longer looked at.
func (h sysctls) Apply(ctx context.Context, d reconcile.Diff[host.SysctlKey, host.Sysctl]) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.refresh(ctx); err != nil {
		return err
	}
	for k := range d.Drop {
		delete(h.sysctls, k)
	}
	var bad []error
	for namespace, names := range byNamespace(maps.Keys(d.Put)) {
		note := func(name string, err error) {
			why := d.Put[host.SysctlKey{NetNS: namespace, Name: name}].Why
			bad = append(bad, &host.ItemError{Item: fmt.Sprintf("setting %s in namespace %q", name, namespace), Why: why, Err: err})
		}
		p, err := h.place(namespace)
		if err == nil {
			err = p.in(func() error {
				for _, name := range names {
					k := host.SysctlKey{NetNS: namespace, Name: name}
					h.sysctls[k] = true
					if err := WriteSysctl(name, d.Put[k].Value); err != nil {
						note(name, err)
					}
				}
				return nil
			})
		}
		if err != nil {
			for _, name := range names {
				note(name, err)
			}
		}
	}
	return errors.Join(bad...)
}

func byNamespace(keys func(func(host.SysctlKey) bool)) map[string][]string {
	out := map[string][]string{}
	for k := range keys {
		out[k.NetNS] = append(out[k.NetNS], k.Name)
	}
	for _, names := range out {
		slices.Sort(names)
	}
	return out
}
