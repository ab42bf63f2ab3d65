"""A shop on Django: what is paid is delivered once, also if it is killed at any moment.

In one terminal `paycollect sandbox`; in two others paste the settings that it prints, then here

    python manage.py migrate --run-syncdb
    python manage.py paycollect_worker          confirms, delivers, looks for lost webhooks
    python manage.py runserver 8080             in the other terminal

and open http://127.0.0.1:8080.
"""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    execute_from_command_line(sys.argv)
