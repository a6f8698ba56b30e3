-- expect: stopped
::again::
goto again
