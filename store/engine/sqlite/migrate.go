package sqlite

import (
	"context"
	"database/sql"
	"errors"
)

// The formats before this one. keyFormat is a table kv with a row for each change
// of a key, and indexes over them. The chunks of plainFormat have every value in
// full; this program reads them as they are.
const (
	keyFormat   = 1
	plainFormat = 2
)

// setFormat makes the programs before refuse the file.
const setFormat = `UPDATE meta SET value = 3 WHERE name = 'format'`

// migrate writes the changes of a database of keyFormat into the log, with
// their revisions, in one transaction.
func migrate(ctx context.Context, c *sql.Conn) (err error) {
	tx, err := c.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	if err := copyChanges(ctx, tx); err != nil {
		return err
	}
	for _, statement := range []string{
		`DROP TABLE kv`, setFormat,
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return tx.Commit()
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
