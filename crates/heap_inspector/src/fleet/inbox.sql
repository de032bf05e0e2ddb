WITH steps AS (
  -- What each dump of a process has more than the one before.
  SELECT service, deploy, host, process, taken, coalesce(uptime, 0) AS uptime, requests, path_id, fingerprint, path, class, count, bytes, retained,
    count - lag(count) OVER run AS step,
    bytes - lag(bytes) OVER run AS step_bytes
  FROM paths
  WINDOW run AS (PARTITION BY service, process, path_id ORDER BY coalesce(uptime, 0), taken)
),
runs AS (
  -- A path in a process, from its first dump to its last.
  SELECT service, process, path_id,
    min(fingerprint) AS fingerprint, min(path) AS path, min(class) AS class, min(deploy) AS deploy, min(host) AS host,
    min(taken) AS first_seen, max(taken) AS last_seen, count(*) AS dumps,
    max(uptime) AS uptime, max(requests) - min(requests) AS requests, max(uptime) - min(uptime) AS seconds,
    max_by(count, uptime) AS objects, max_by(retained, uptime) AS retained,
    max_by(count, uptime) - min_by(count, uptime) AS grown,
    max_by(bytes, uptime) - min_by(bytes, uptime) AS grown_bytes,
    max_by(retained, uptime) - min_by(retained, uptime) AS grown_retained,
    coalesce(avg(CASE WHEN step > 0 THEN 1.0 WHEN step IS NOT NULL THEN 0.0 END), 0) AS rising_steps,
    coalesce(avg(CASE WHEN step_bytes > 0 THEN 1.0 WHEN step_bytes IS NOT NULL THEN 0.0 END), 0) AS rising_steps_bytes,
    coalesce(max_by(step, uptime) / nullif(avg(step), 0), 0) AS last_step,
    coalesce(max_by(step_bytes, uptime) / nullif(avg(step_bytes), 0), 0) AS last_step_bytes
  FROM steps
  GROUP BY service, process, path_id
),
judged AS (
  -- 2: objects pile up, in most steps, the last among them; 1: so does the memory of as many; 0: neither; null: one dump does not tell.
  SELECT *,
    CASE
      WHEN dumps < 2 THEN NULL
      WHEN grown >= 10 AND grown_retained >= 4096 AND rising_steps >= 0.8 AND last_step >= 0.25 THEN 2
      WHEN grown_bytes >= 4096 AND rising_steps_bytes >= 0.8 AND last_step_bytes >= 0.25 THEN 1
      ELSE 0
    END AS rising
  FROM runs
),
by_path AS (
  SELECT service, path_id,
    min(fingerprint) AS fingerprint, min(path) AS path, min(class) AS class,
    count(*) AS workers,
    coalesce(sum(CASE WHEN rising IS NOT NULL THEN 1 END), 0) AS watched,
    coalesce(sum(CASE WHEN rising = 2 THEN 1 END), 0) AS piling,
    coalesce(sum(CASE WHEN rising = 1 THEN 1 END), 0) AS swelling,
    coalesce(corr(objects, uptime), 0) AS by_age,
    coalesce(max(objects) - min(objects), 0) AS spread
  FROM judged
  GROUP BY service, path_id
),
trends AS (
  SELECT *,
    CASE
      WHEN piling > 0 AND piling >= 0.3 * watched THEN 2
      WHEN swelling > 0 AND swelling + piling >= 0.3 * watched THEN 1
      WHEN watched = 0 AND workers >= 8 AND spread >= 10 AND by_age >= 0.7 THEN 2
      ELSE 0
    END AS rising
  FROM by_path
),
suspected AS (
  SELECT service, path_id, min(fingerprint) AS fingerprint, min(path) AS path, min(class) AS class,
    count(DISTINCT process) AS suspected_in, min(rank) AS best_rank,
    max(CASE confidence WHEN 'high' THEN 3 WHEN 'medium' THEN 2 ELSE 1 END) AS confidence,
    max(coalesce(app_location, location)) AS location, max(known_leak) AS known_leak
  FROM suspects
  GROUP BY service, path_id
),
rising_paths AS (SELECT service, path_id, path, rising FROM trends WHERE rising > 0),
below AS (
  -- What came with what piles up above it; and of memory alone also what holds such, as a list that grows with its elements.
  SELECT DISTINCT a.service, a.path_id
  FROM rising_paths a
  JOIN rising_paths b ON a.service IS NOT DISTINCT FROM b.service AND a.path_id <> b.path_id
  WHERE (b.rising >= a.rising AND substr(a.path, 1, length(b.path) + 3) = b.path || ' → ')
    OR (b.rising > a.rising AND substr(b.path, 1, length(a.path) + 3) = a.path || ' → ')
),
chosen AS (
  SELECT t.service, t.path_id, t.fingerprint, t.path, t.class, t.rising
  FROM trends t
  LEFT JOIN below ON below.service IS NOT DISTINCT FROM t.service AND below.path_id = t.path_id
  LEFT JOIN suspected s ON s.service IS NOT DISTINCT FROM t.service AND s.path_id = t.path_id
  -- Suspects of one dump stand beside, but for what a path that rises explains.
  WHERE (t.rising > 0 AND below.path_id IS NULL) OR (t.rising = 0 AND s.path_id IS NOT NULL)
),
seen AS (
  -- Of what rises the processes in which it does; of the rest all that have it.
  SELECT c.service, c.path_id, c.fingerprint, c.path, c.class, c.rising,
    min(j.first_seen) AS first_seen, max(j.last_seen) AS last_seen, min_by(j.deploy, j.first_seen) AS first_deploy,
    count(DISTINCT j.deploy) AS deploys, count(DISTINCT j.host) AS hosts, count(DISTINCT j.process) AS workers,
    avg(j.retained) AS bytes_per_worker, avg(j.objects) AS objects_per_worker,
    sum(j.grown_retained) AS grown_bytes, sum(j.grown) AS grown_objects,
    sum(j.grown_retained) / nullif(sum(j.requests), 0) AS bytes_per_request,
    sum(j.grown) / nullif(sum(j.requests), 0) AS objects_per_request,
    3600 * sum(j.grown_retained) / nullif(sum(j.seconds), 0) AS bytes_per_hour
  FROM chosen c
  JOIN judged j ON j.service IS NOT DISTINCT FROM c.service AND j.path_id = c.path_id
  WHERE c.rising = 0 OR j.rising > 0 OR j.rising IS NULL
  GROUP BY c.service, c.path_id, c.fingerprint, c.path, c.class, c.rising
),
processes AS (SELECT service, process, min(taken) AS first_seen, max(taken) AS last_seen FROM dumps GROUP BY service, process),
shares AS (
  SELECT s.service, s.path_id, count(*) AS all_workers
  FROM seen s
  JOIN processes p ON p.service IS NOT DISTINCT FROM s.service
    AND (s.first_seen IS NULL OR p.last_seen IS NULL OR (p.last_seen >= s.first_seen AND p.first_seen <= s.last_seen))
  GROUP BY s.service, s.path_id
)
SELECT s.service, s.fingerprint, s.path, s.class,
  CASE s.rising WHEN 2 THEN 'rising' WHEN 1 THEN 'swelling' ELSE 'steady' END AS trend,
  CASE
    WHEN {since} IS NULL THEN NULL
    WHEN s.first_seen >= {since} THEN 'new'
    WHEN s.last_seen < {since} THEN 'gone'
    ELSE 'known'
  END AS state,
  CAST(s.first_seen AS VARCHAR(30)) AS first_seen, CAST(s.last_seen AS VARCHAR(30)) AS last_seen, s.first_deploy,
  s.deploys, s.hosts, s.workers, CAST(s.workers AS DOUBLE) / shares.all_workers AS share_of_workers,
  CAST(s.bytes_per_worker AS DOUBLE) AS bytes_per_worker, CAST(s.objects_per_worker AS DOUBLE) AS objects_per_worker,
  CAST(s.bytes_per_request AS DOUBLE) AS bytes_per_request, CAST(s.objects_per_request AS DOUBLE) AS objects_per_request,
  CAST(s.bytes_per_hour AS DOUBLE) AS bytes_per_hour,
  CASE q.confidence WHEN 3 THEN 'high' WHEN 2 THEN 'medium' WHEN 1 THEN 'low' END AS confidence,
  coalesce(q.suspected_in, 0) AS suspected_in, q.location, q.known_leak
FROM seen s
LEFT JOIN shares ON shares.service IS NOT DISTINCT FROM s.service AND shares.path_id = s.path_id
LEFT JOIN suspected q ON q.service IS NOT DISTINCT FROM s.service AND q.path_id = s.path_id
ORDER BY s.rising DESC, coalesce(s.grown_bytes, 0) DESC, s.bytes_per_worker DESC, s.path
