"""Options of Flower for `reelmill flower --conf infra/flower/flowerconfig.py`: what a site may want to change.

Everything else has its value in `reelmill_producer/dashboards/flower.py`. The options are Flower's own.
"""

# ruff: noqa: ERA001 - the options at the end are there to be taken out of their comments

from reelmill_producer.dashboards import flower_columns as _reelmill

# Fills in our columns; wrap it to show less. What messages hold of prompts, REELMILL_FLOWER_PROMPTS decides.
format_task = _reelmill.format_task

# Ours are batch, seed, prompt, stage and worker_class; Flower's: name uuid state args kwargs result received started
# runtime worker retries exception.
tasks_columns = _reelmill.SHOWN

# Two GPUs finish about 17,000 clips of 3.4 s in eight hours.
max_tasks = 20_000

# True: the browser cannot stop workers or revoke messages. The ledger would send a revoked message again.
read_only = True

# Sign-in by OAuth instead of FLOWER_BASIC_AUTH; key and secret come from FLOWER_OAUTH2_KEY and FLOWER_OAUTH2_SECRET.
#
#   auth_provider = "flower.views.auth.GithubLoginHandler"
#   auth = r"(one|other)@example\.org"
#   oauth2_redirect_uri = "https://flower.example.org/login"
#
# Behind a proxy that ends TLS, under a path:
#
#   url_prefix = "flower"
#   xheaders = True
