package quota_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"neutrino"
	"neutrino/intent"
	"neutrino/intent/quota"
	"neutrino/store"
	"neutrino/store/engine/sqlite"
	"neutrino/store/storetest"
)

func open(t *testing.T, c intent.Config) (*intent.Service, *store.DB) {
	t.Helper()
	db := storetest.OpenAt(t, sqlite.Options{Path: filepath.Join(t.TempDir(), "db")})
	return intent.New(db, c), db
}

var (
	admin = intent.Caller{ProjectID: "ops", Admin: true}
	alice = intent.Caller{ProjectID: "alice"}
)

// whichType is the type of the API's error, "" for none.
func whichType(err error) string {
	var e *neutrino.Error
	if errors.As(err, &e) {
		return e.Type
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func makeRouter(s *intent.Service) error {
	return s.Do(context.Background(), alice, func(tx *intent.Tx) error {
		_, err := intent.CreateRouter(tx, neutrino.Router{}, nil)
		return err
	})
}

// While an administrator lowers a limit to what there is, routers are made: either
// they come first and the limit is refused, or the limit does.
func TestALimitThatWasSetHoldsWhateverHappensBesideIt(t *testing.T) {
	c := intent.DefaultConfig()
	c.Quotas = nil
	s, db := open(t, c)
	set, refused := 0, 0
	for round := range 40 {
		used := quota.Used(db.Snapshot(), "alice")[quota.Router]
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if typ := whichType(makeRouter(s)); typ != "" && typ != neutrino.OverQuota {
					t.Error(typ)
				}
			})
		}
		typ := whichType(s.Do(t.Context(), admin, func(tx *intent.Tx) error {
			return quota.Set(tx, "alice", map[string]int{quota.Router: used + round%3}, quota.RefuseBelow)
		}))
		wg.Wait()
		now := quota.Used(db.Snapshot(), "alice")[quota.Router]
		switch {
		case typ == "HTTPBadRequest":
			refused++
		case typ != "":
			t.Fatal(typ)
		case now > used+round%3:
			t.Fatalf("round %d: %d routers where %d may be", round, now, used+round%3)
		default:
			set++
		}
		err := s.Do(t.Context(), admin, func(tx *intent.Tx) error {
			return quota.Set(tx, "alice", map[string]int{quota.Router: neutrino.NoLimit}, quota.RefuseBelow)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d limits set, %d refused", set, refused)
}

func TestADefaultHoldsForWhoHasNoLimitOfItsOwn(t *testing.T) {
	c := intent.DefaultConfig()
	c.Quotas = map[string]int{quota.Router: 1}
	s, db := open(t, c)
	steps := []struct {
		limit int // of alice's own; 0 takes it away
		typ   string
	}{{0, ""}, {0, neutrino.OverQuota}, {2, ""}, {2, neutrino.OverQuota}, {neutrino.NoLimit, ""}, {0, neutrino.OverQuota}}
	for i, step := range steps {
		err := s.Do(t.Context(), admin, func(tx *intent.Tx) error {
			if step.limit != 0 {
				return quota.Set(tx, "alice", map[string]int{quota.Router: step.limit}, quota.RefuseBelow)
			}
			if err := quota.Reset(tx, "alice"); whichType(err) != "TenantQuotaNotFound" {
				return err
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if typ := whichType(makeRouter(s)); typ != step.typ {
			t.Errorf("step %d: %q, want %q", i, typ, step.typ)
		}
	}
	for resource, used := range quota.Used(db.Snapshot(), "alice") {
		if want := map[string]int{quota.Router: 3}[resource]; used != want {
			t.Errorf("%d of %s are used, want %d", used, resource, want)
		}
	}
}
