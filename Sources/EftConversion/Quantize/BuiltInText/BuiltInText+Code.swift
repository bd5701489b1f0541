// SPDX-License-Identifier: Apache-2.0
// Programs in several languages, written for this project.

extension BuiltInText {
    /// A small program in each language.
    static let code = [
        #"""
        """Count words in text files and print the most frequent ones."""
        import argparse
        import collections
        import pathlib
        import re
        import sys

        WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


        def words(path: pathlib.Path):
            with path.open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    yield from (match.group().lower() for match in WORD.finditer(line))


        def main(arguments=None) -> int:
            parser = argparse.ArgumentParser(description=__doc__)
            parser.add_argument("files", nargs="+", type=pathlib.Path)
            parser.add_argument("-n", "--count", type=int, default=10)
            options = parser.parse_args(arguments)
            counts = collections.Counter()
            for path in options.files:
                if not path.is_file():
                    print(f"{path}: no such file", file=sys.stderr)
                    return 1
                counts.update(words(path))
            for word, n in counts.most_common(options.count):
                print(f"{n:8d}  {word}")
            return 0


        if __name__ == "__main__":
            raise SystemExit(main())
        """#,
        #"""
        #include <errno.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>

        struct ring {
            size_t capacity, head, count;
            double *items;
        };

        static int ring_init(struct ring *r, size_t capacity) {
            r->items = calloc(capacity, sizeof *r->items);
            if (r->items == NULL) return -ENOMEM;
            r->capacity = capacity;
            r->head = r->count = 0;
            return 0;
        }

        /* Adds a value; the oldest one is dropped when the ring is full. */
        static void ring_push(struct ring *r, double value) {
            size_t place = (r->head + r->count) % r->capacity;
            r->items[place] = value;
            if (r->count < r->capacity) {
                r->count++;
            } else {
                r->head = (r->head + 1) % r->capacity;
            }
        }

        static double ring_mean(const struct ring *r) {
            double sum = 0.0;
            for (size_t i = 0; i < r->count; i++) sum += r->items[(r->head + i) % r->capacity];
            return r->count > 0 ? sum / (double)r->count : 0.0;
        }

        int main(int argc, char **argv) {
            struct ring window;
            char line[256];
            size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) : 8;
            if (size == 0 || ring_init(&window, size) != 0) {
                fprintf(stderr, "usage: %s [window]\n", argv[0]);
                return 2;
            }
            while (fgets(line, sizeof line, stdin) != NULL) {
                ring_push(&window, atof(line));
                printf("%.6f\n", ring_mean(&window));
            }
            free(window.items);
            return 0;
        }
        """#,
        #"""
        // A cache that drops what was used longest ago.
        export class LruCache {
          #limit;
          #entries = new Map();

          constructor(limit = 100) {
            if (!Number.isInteger(limit) || limit < 1) throw new RangeError(`limit: ${limit}`);
            this.#limit = limit;
          }

          get(key) {
            if (!this.#entries.has(key)) return undefined;
            const value = this.#entries.get(key);
            this.#entries.delete(key);
            this.#entries.set(key, value);
            return value;
          }

          set(key, value) {
            this.#entries.delete(key);
            this.#entries.set(key, value);
            if (this.#entries.size > this.#limit) {
              this.#entries.delete(this.#entries.keys().next().value);
            }
            return this;
          }
        }

        export async function fetchJson(url, { retries = 3, delay = 250 } = {}) {
          for (let attempt = 0; ; attempt++) {
            try {
              const response = await fetch(url, { headers: { Accept: "application/json" } });
              if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
              return await response.json();
            } catch (error) {
              if (attempt >= retries) throw error;
              await new Promise((resolve) => setTimeout(resolve, delay * 2 ** attempt));
            }
          }
        }
        """#,
        #"""
        use std::collections::{BinaryHeap, HashMap};
        use std::cmp::Reverse;

        #[derive(Debug, Clone, Default)]
        pub struct Graph {
            edges: HashMap<u32, Vec<(u32, u64)>>,
        }

        impl Graph {
            pub fn add(&mut self, from: u32, to: u32, weight: u64) -> &mut Self {
                self.edges.entry(from).or_default().push((to, weight));
                self
            }

            /// The least cost of a path, or `None` where there is none.
            pub fn cost(&self, start: u32, goal: u32) -> Option<u64> {
                let mut best: HashMap<u32, u64> = HashMap::from([(start, 0)]);
                let mut queue = BinaryHeap::from([Reverse((0u64, start))]);
                while let Some(Reverse((cost, node))) = queue.pop() {
                    if node == goal {
                        return Some(cost);
                    }
                    if cost > *best.get(&node).unwrap_or(&u64::MAX) {
                        continue;
                    }
                    for &(next, weight) in self.edges.get(&node).into_iter().flatten() {
                        let total = cost.saturating_add(weight);
                        if total < *best.get(&next).unwrap_or(&u64::MAX) {
                            best.insert(next, total);
                            queue.push(Reverse((total, next)));
                        }
                    }
                }
                None
            }
        }

        #[test]
        fn shortest_path_is_found() {
            let mut graph = Graph::default();
            graph.add(1, 2, 7).add(1, 3, 2).add(3, 2, 4).add(2, 4, 1);
            assert_eq!(graph.cost(1, 4), Some(7));
            assert_eq!(graph.cost(4, 1), None);
        }
        """#,
        #"""
        package inventory

        import (
            "context"
            "database/sql"
            "errors"
            "fmt"
        )

        var ErrOutOfStock = errors.New("out of stock")

        // Reserve takes n pieces of an item in one transaction.
        func Reserve(ctx context.Context, db *sql.DB, item string, n int) (err error) {
            tx, err := db.BeginTx(ctx, nil)
            if err != nil {
                return fmt.Errorf("begin: %w", err)
            }
            defer func() {
                if err != nil {
                    _ = tx.Rollback()
                }
            }()
            var left int
            row := tx.QueryRowContext(ctx, "SELECT pieces FROM stock WHERE item = $1 FOR UPDATE", item)
            if err = row.Scan(&left); err != nil {
                return err
            }
            if left < n {
                return ErrOutOfStock
            }
            if _, err = tx.ExecContext(ctx, "UPDATE stock SET pieces = $1 WHERE item = $2", left-n, item); err != nil {
                return err
            }
            return tx.Commit()
        }
        """#,
        #"""
        CREATE TABLE customers (
            id          INTEGER PRIMARY KEY,
            name        TEXT NOT NULL,
            country     CHAR(2) NOT NULL DEFAULT 'DE',
            created_at  TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
        );

        WITH monthly AS (
            SELECT c.country, date_trunc('month', o.ordered_at) AS month, SUM(o.total) AS revenue
            FROM orders AS o
            JOIN customers AS c ON c.id = o.customer_id
            WHERE o.status <> 'cancelled' AND o.ordered_at >= DATE '2023-01-01'
            GROUP BY c.country, month
        )
        SELECT country, month, revenue,
               revenue - LAG(revenue) OVER (PARTITION BY country ORDER BY month) AS change
        FROM monthly
        ORDER BY country, month DESC
        LIMIT 50;
        """#,
        #"""
        #!/usr/bin/env bash
        # Keeps the seven newest backups of a folder.
        set -euo pipefail

        source=${1:?usage: backup.sh FOLDER TARGET}
        target=${2:?usage: backup.sh FOLDER TARGET}
        stamp=$(date +%Y-%m-%d_%H%M%S)

        mkdir -p "$target"
        tar --create --gzip --file "$target/$stamp.tar.gz.part" --directory "$source" .
        mv "$target/$stamp.tar.gz.part" "$target/$stamp.tar.gz"

        ls -1t "$target"/*.tar.gz | tail -n +8 | while read -r old; do
            echo "removing $old" >&2
            rm -- "$old"
        done
        df -h "$target" | awk 'NR == 2 { print $4 " free on " $6 }'
        """#,
        #"""
        import java.util.*;
        import java.util.function.Predicate;
        import java.util.stream.Collectors;

        public final class Orders {
            public record Order(String customer, double amount, boolean paid) {}

            private final List<Order> orders = new ArrayList<>();

            public void add(Order order) {
                Objects.requireNonNull(order, "order");
                if (order.amount() < 0) throw new IllegalArgumentException("negative amount");
                orders.add(order);
            }

            public Map<String, Double> totals(Predicate<Order> filter) {
                return orders.stream().filter(filter).collect(
                    Collectors.groupingBy(Order::customer, TreeMap::new, Collectors.summingDouble(Order::amount)));
            }

            @Override public String toString() {
                return "Orders[" + orders.size() + ", open=" + totals(o -> !o.paid()) + "]";
            }
        }

        (defun factorial (n)
          (if (< n 2) 1 (* n (factorial (- n 1)))))

        quicksort :: Ord a => [a] -> [a]
        quicksort []       = []
        quicksort (p : xs) = quicksort [x | x <- xs, x < p] ++ [p] ++ quicksort [x | x <- xs, x >= p]

        struct Stack<Element> {
            private var items: [Element] = []
            var isEmpty: Bool { items.isEmpty }
            mutating func push(_ item: Element) { items.append(item) }
            mutating func pop() -> Element? { items.popLast() }
        }
        """#,
    ]
}
