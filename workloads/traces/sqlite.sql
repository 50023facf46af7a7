-- Input of sqlite.trace.xz: orders in random order into a table with two indexes, updates, a report.
PRAGMA journal_mode = WAL;
PRAGMA cache_size = -16384;
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, item TEXT, amount REAL);
CREATE INDEX by_customer ON orders (customer);
CREATE INDEX by_item ON orders (item);
INSERT INTO orders SELECT value * 7919 % 16381, value * 104729 % 1009, printf('item-%05d', value * 1299709 % 4093), value % 977 / 8.0 FROM generate_series(1, 9000);
UPDATE orders SET amount = amount * 1.1 WHERE customer % 16 = 3;
SELECT count(*), sum(total) FROM (SELECT customer, sum(amount) AS total FROM orders GROUP BY customer ORDER BY total DESC);
DELETE FROM orders WHERE item BETWEEN 'item-01000' AND 'item-01400';
