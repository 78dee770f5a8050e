package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"neutrino/store/engine"
)

// The formats before this one. keyFormat is a table kv with a row for each change
// of a key, and indexes over them. The chunks of plainFormat have every value in
// full; this program reads them, and gives them sums.
const (
	keyFormat   = 1
	plainFormat = 2
)

// The chunks of bareFormat have no sums, and the file has no head.
const bareFormat = 3

// upgrade makes the tables of a new file, or brings those of an older format to
// today's. A file of a newer format, or without one, is an error.
func upgrade(ctx context.Context, c *sql.Conn) error {
	var tables, have int
	if err := c.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return err
	}
	if tables == 0 {
		return inTx(ctx, c, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, ddl); err != nil {
				return err
			}
			return insertHead(ctx, tx, head{})
		})
	}
	if err := c.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = 'format'`).Scan(&have); err != nil {
		return fmt.Errorf("%w: the format is not known: %w", engine.ErrDamaged, err)
	}
	switch have {
	case format:
		return nil
	case keyFormat:
		if err := migrate(ctx, c); err != nil {
			return fmt.Errorf("change format %d to %d: %w", have, bareFormat, err)
		}
	case plainFormat, bareFormat:
	default:
		return fmt.Errorf("format %d, this program knows %d", have, format)
	}
	if err := sealAll(ctx, c); err != nil {
		return fmt.Errorf("change format %d to %d: %w", have, format, err)
	}
	return nil
}

// inTx runs f in a transaction.
func inTx(ctx context.Context, c *sql.Conn, f func(*sql.Tx) error) error {
	tx, err := c.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func insertHead(ctx context.Context, tx *sql.Tx, h head) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO meta VALUES ('head', ?)`, h.encode())
	return err
}

// sealBatch is how many chunks are read before they are written.
const sealBatch = 1000

// sealAll gives every chunk its sum and the file its head, in one transaction. The
// format makes the programs before refuse the file.
func sealAll(ctx context.Context, c *sql.Conn) error {
	return inTx(ctx, c, func(tx *sql.Tx) error {
		var h head
		err := tx.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = 'compacted'`).Scan(&h.compacted)
		if err != nil {
			return err
		}
		for last := int64(0); ; {
			batch, err := chunksAfter(ctx, tx, last)
			if err != nil {
				return err
			}
			if len(batch) == 0 {
				break
			}
			for _, ch := range batch {
				sealed, sum := seal(ch.id, ch.changes)
				if _, err := tx.ExecContext(ctx, `UPDATE log SET changes = ? WHERE id = ?`, sealed, ch.id); err != nil {
					return err
				}
				h.digest, last, h.revision = h.digest+sum, ch.id, ch.id>>seqBits
			}
		}
		leases, err := leasesSum(ctx, tx)
		if err != nil {
			return err
		}
		h.digest += leases
		if _, err := tx.ExecContext(ctx, `DELETE FROM meta WHERE name = 'compacted'; UPDATE meta SET value = 4 WHERE name = 'format'`); err != nil {
			return err
		}
		return insertHead(ctx, tx, h)
	})
}

func chunksAfter(ctx context.Context, tx *sql.Tx, last int64) (batch []chunk, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, changes FROM log WHERE id > ? ORDER BY id LIMIT ?`, last, sealBatch)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var ch chunk
		if err := rows.Scan(&ch.id, &ch.changes); err != nil {
			return nil, err
		}
		batch = append(batch, ch)
	}
	return batch, rows.Err()
}

// migrate writes the changes of a database of keyFormat into the log, with
// their revisions, in one transaction.
func migrate(ctx context.Context, c *sql.Conn) error {
	return inTx(ctx, c, func(tx *sql.Tx) error {
		for _, statement := range []string{
			`CREATE TABLE log (id INTEGER PRIMARY KEY, changes BLOB NOT NULL)`,
			`CREATE TABLE IF NOT EXISTS lease (id INTEGER PRIMARY KEY AUTOINCREMENT, ttl INTEGER NOT NULL)`,
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		if err := copyChanges(ctx, tx); err != nil {
			return err
		}
		for _, statement := range []string{
			`DROP TABLE kv`, `UPDATE meta SET value = 3 WHERE name = 'format'`,
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// copyChanges copies the rows of kv, which are in the order of the history.
func copyChanges(ctx context.Context, tx *sql.Tx) error {
	rows, err := tx.QueryContext(ctx, `SELECT id, key, value, dead, lease FROM kv ORDER BY id`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var w chunkWriter
	var number int64 // of the chunk
	flush := func() error {
		if len(w.chunk) == 0 {
			return nil
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO log (id, changes) VALUES (?, ?)`, number, w.chunk)
		w.reset()
		return err
	}
	for rows.Next() {
		var id int64
		var ch change
		if err := rows.Scan(&id, &ch.Key, &ch.Value, &ch.Deleted, (*int64)(&ch.lease)); err != nil {
			return err
		}
		switch next := id >> seqBits << seqBits; {
		case number < next:
			if err := flush(); err != nil {
				return err
			}
			number = next
		case len(w.chunk) >= chunkSize:
			if err := flush(); err != nil {
				return err
			}
			number++
		}
		w.add(ch)
	}
	return errors.Join(rows.Err(), flush())
}
