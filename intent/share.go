package intent

import (
	"context"

	"neutrino"
	"neutrino/intent/defaultgroup"
	"neutrino/intent/mark"
	"neutrino/intent/rbac"
)

// CreateRBACPolicy makes an RBAC policy. A default group can be shared before
// anything needed it: then it is written first.
func CreateRBACPolicy(tx *Tx, p neutrino.RBACPolicy, set neutrino.Fields) (*neutrino.RBACPolicy, error) {
	if p.ObjectType == rbac.SecurityGroup {
		if err := defaultgroup.Need(tx, p.ObjectID); err != nil {
			return nil, err
		}
	}
	return rbac.Create(tx, p, set)
}

// Adopt brings what an older version stored into the present form. A server does
// it before it serves; it changes nothing when there is nothing to do.
func (s *Service) Adopt(ctx context.Context) error {
	for more := true; more; {
		err := s.Do(ctx, Caller{Admin: true}, func(tx *Tx) (err error) { more, err = rbac.Adopt(tx); return })
		if err != nil {
			return err
		}
	}
	for more := true; more; {
		if err := s.Do(ctx, Caller{Admin: true}, func(tx *Tx) error { more = mark.Adopt(tx); return nil }); err != nil {
			return err
		}
	}
	return nil
}
