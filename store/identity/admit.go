package identity

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"neutrino/store/engine"
)

// Look refuses a database file that is missing or empty while the trace remembers
// a store. It looks before an engine is opened, which would make the file.
func Look(_ context.Context, database string, t Trace) error {
	if !t.Named() {
		return nil
	}
	switch info, err := os.Stat(database); {
	case errors.Is(err, os.ErrNotExist):
		return refuse(database, t, "there is no database")
	case err != nil:
		return fmt.Errorf("identity: %w", err)
	case info.Size() == 0:
		return refuse(database, t, "the database is empty")
	}
	return nil
}

// Admit finds out whether the engine has the store that the trace remembers, begins
// a life of it, and gives the trace for from now on, which the caller writes. Without
// a trace, any store is the one; one without a name gets its name here. The error says what is
// wrong with the database and what to do.
func Admit(ctx context.Context, e engine.Engine, database string, t Trace) (Trace, error) {
	at, err := Read(ctx, e)
	if err != nil {
		return t, err
	}
	switch {
	case t.Named() && at.Revision == 0:
		return t, refuse(database, t, "the database is empty")
	case !t.Step(at).Taken():
		return t, refuse(database, t, t.Difference(at))
	}
	if at, err = Begin(ctx, e); err != nil {
		return t, err
	}
	return Trace{Database: database, StorePosition: at}, nil
}

// refuse says why a database is not used, and what to do.
func refuse(database string, t Trace, what string) error {
	where := ""
	if t.Database != database {
		where = fmt.Sprintf(", which was in %s", t.Database)
	}
	return fmt.Errorf("%s is not used: %s; this server's store is cluster %s at revision %d or later%s. %s",
		database, what, t.Cluster, t.Revision, where, strings.Join([]string{
			"Mount the volume, or correct [database] connection",
			"or restore a backup with neutrino restore FILE",
			"or, when this database is meant, sign it with neutrino server sign",
			"or forget that store with neutrino server init --force",
		}, "; "))
}
