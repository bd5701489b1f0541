// SPDX-License-Identifier: Apache-2.0
// Documents with markup, data files and logs, written for this project.

extension BuiltInText {
    /// A document in each form.
    static let markup = [
        #"""
        # Weather station

        Reads temperature, pressure and humidity once a minute and draws them on a page.

        ## Installation

        1. Connect the sensor: `VCC` to pin 1, `GND` to pin 6, `SDA` to pin 3, `SCL` to pin 5.
        2. Install the program:

           ```sh
           git clone https://example.org/weather.git
           cd weather && make install
           ```

        3. Open <http://localhost:8080>.

        ## Settings

        | key | default | meaning |
        |---|---:|---|
        | `interval` | 60 | seconds between readings |
        | `altitude` | 0 | metres above the sea, for the pressure |
        | `units` | `metric` | `metric` or `imperial` |

        > **Note:** readings below -40 °C are shown, but the sensor is not made for them.

        - [x] pressure at sea level
        - [ ] wind (*planned*)
        - [ ] export as CSV, see [issue 12](https://example.org/issues/12)
        """#,
        #"""
        <!DOCTYPE html>
        <html lang="en">
        <head>
          <meta charset="utf-8">
          <title>Opening hours</title>
          <style>
            body { font-family: sans-serif; max-width: 40rem; margin: 2rem auto; color: #222; }
            table { border-collapse: collapse; width: 100%; }
            th, td { padding: .4rem .8rem; border-bottom: 1px solid #ccc; text-align: left; }
            .closed { color: #a33; }
          </style>
        </head>
        <body>
          <h1 id="top">Opening hours</h1>
          <p>We are open on <strong>six days</strong> a week. &copy; 2024 The Corner Shop</p>
          <table>
            <tr><th>Day</th><th>Hours</th></tr>
            <tr><td>Monday &ndash; Friday</td><td>8:00 &ndash; 18:30</td></tr>
            <tr><td>Saturday</td><td>9:00 &ndash; 13:00</td></tr>
            <tr><td>Sunday</td><td class="closed">closed</td></tr>
          </table>
          <a href="mailto:shop@example.com?subject=Question">Ask us</a>
        </body>
        </html>
        """#,
        #"""
        {
          "id": "a3f9c2",
          "type": "invoice",
          "date": "2024-06-17T09:32:05Z",
          "customer": {"name": "Ana Ribeiro", "city": "Porto", "vat": null, "premium": true},
          "lines": [
            {"sku": "LMP-204", "text": "Desk lamp, brass", "quantity": 2, "price": 49.90},
            {"sku": "BLB-011", "text": "Bulb E27 \"warm\"", "quantity": 6, "price": 3.25},
            {"sku": "SHP-000", "text": "Shipping", "quantity": 1, "price": 7.5}
          ],
          "total": 126.8,
          "notes": ["leave with neighbour", "2nd floor"]
        }
        {"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function",
         "function": {"name": "get_weather", "arguments": "{\"city\": \"Oslo\", \"unit\": \"celsius\"}"}}]}
        """#,
        #"""
        version: "3"
        services:
          web:
            image: registry.example.com/shop/web:1.8.2
            ports: ["8080:80"]
            environment:
              DATABASE_URL: postgres://shop@db:5432/shop
              LOG_LEVEL: info
            depends_on: [db]
            restart: unless-stopped
          db:
            image: postgres:16
            volumes:
              - data:/var/lib/postgresql/data
        volumes:
          data: {}
        ---
        [package]
        name = "tidy"
        version = "0.4.1"
        edition = "2021"

        [dependencies]
        serde = { version = "1", features = ["derive"] }
        """#,
        #"""
        \documentclass{article}
        \usepackage{amsmath}
        \begin{document}
        \section{The normal distribution}
        A random variable $X$ is normal with mean $\mu$ and variance $\sigma^2$ when its density is
        \begin{equation}
          f(x) = \frac{1}{\sigma\sqrt{2\pi}}\, \exp\!\left(-\frac{(x-\mu)^2}{2\sigma^2}\right).
        \end{equation}
        For independent $X_1, \dots, X_n$ with this density the mean $\bar X = \frac1n \sum_{i=1}^n X_i$
        is normal with variance $\sigma^2/n$. Hence $P(|\bar X - \mu| > 1.96\,\sigma/\sqrt n) \approx 0.05$.

        \textbf{Theorem 1.} If $A \in \mathbb{R}^{n \times n}$ is symmetric, there is an orthogonal $Q$ with
        $Q^\top A Q = \operatorname{diag}(\lambda_1, \dots, \lambda_n)$.
        \end{document}
        """#,
        #"""
        <?xml version="1.0" encoding="UTF-8"?>
        <library xmlns="urn:example:library">
          <book isbn="978-0-00-000000-2" lang="en">
            <title>Tides and Harbours</title>
            <author>R. Penhale</author>
            <year>1998</year>
            <copies available="2">3</copies>
          </book>
          <!-- lost in the flood -->
          <book isbn="978-0-00-000001-9" lang="fr"><title>Le jardin d'hiver</title><copies>0</copies></book>
        </library>
        """#,
        #"""
        date,station,temperature,humidity,pressure,rain
        2024-03-01,Northgate,4.2,81,1009.3,0.0
        2024-03-01,Harbour,6.1,88,1009.1,0.4
        2024-03-02,Northgate,3.7,79,1012.8,0.0
        2024-03-02,Harbour,5.8,84,1012.5,0.0
        2024-03-03,Northgate,-0.4,90,1018.0,1.2
        2024-03-03,Harbour,2.3,93,1017.7,2.6

        2024-03-03T06:12:44.118Z INFO  server: listening on 0.0.0.0:8080 (workers=4)
        2024-03-03T06:12:51.902Z WARN  db: slow query (1834 ms): SELECT * FROM readings WHERE station = ?
        2024-03-03T06:13:07.455Z ERROR http: GET /api/v1/readings?limit=-1 -> 400 (3 ms) id=7f3e-11aa
        Traceback (most recent call last):
          File "/srv/app/views.py", line 88, in readings
            limit = positive(request.args["limit"])
        ValueError: limit must be positive, found -1

        diff --git a/src/limit.c b/src/limit.c
        index 3b18e51..9a6c0de 100644
        --- a/src/limit.c
        +++ b/src/limit.c
        @@ -12,7 +12,9 @@ int check(long limit)
         {
        -    if (limit < 0) return -1;
        +    if (limit <= 0 || limit > MAX_LIMIT) {
        +        return -EINVAL;
        +    }
             return 0;
         }
        """#,
    ]
}
